"""Adapters for frameworks that insist on a response class of their own.

Where any ASGI application may be returned (Starlette, Litestar), a `Stream` needs none of this.
Each module imports its framework; `trio_stream` itself imports neither them nor it.
"""
