"""What a scrape of this process says, by Prometheus's own parser of its text."""

from prometheus_client.parser import text_string_to_metric_families

from trio_stream.metrics.readings import readings
from trio_stream.prometheus import metrics_app
from trio_stream.testing import connect

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Figures:
    """The value of each sample, by its name and its labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape() -> Figures:
    readings.forget()
    async with connect(metrics_app()) as client:
        assert client.status == 200
        return parsed((await client.read()).decode())


async def figure(name: str, **labels: str) -> float:
    """One of them; several that have these labels together, and 0 for none."""
    found = await scrape()
    return sum(
        value
        for (of, others), value in found.items()
        if of == f"trio_stream_{name}" and labels.items() <= dict(others).items()
    )
