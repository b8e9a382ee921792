# Read by the other scripts, from the top of the checkout: functions that make .venv on a machine
# that has only Python, git and pip, and install what pip can't.

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '%s\n' "$*" >&2; }

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# The first Python that is new enough; $PYTHON names another one.
find_python() {
    for candidate in ${PYTHON:-python3 python python3.14 python3.13 python3.12 python3.11}; do
        if is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    say "No Python 3.11 or later found. Install one, or name it: PYTHON=/path/to/python3 sh $0"
    return 1
}

# A .venv that was left half made, or whose Python has gone, is completed or made again.
ensure_venv() {
    if .venv/bin/python -m pip --version >/dev/null 2>&1; then return; fi
    python=$(find_python)
    if ! is_new_enough .venv/bin/python; then
        say "Making .venv with $python"
        "$python" -m venv --clear --without-pip .venv
    fi
    # Debian's Python has no ensurepip unless python3-venv is installed, and its pip refuses to
    # install into the system (PEP 668). It may install into an environment, though, even itself.
    .venv/bin/python -m ensurepip >/dev/null 2>&1 ||
        "$python" -m pip --python .venv/bin/python install --quiet pip && return
    say "$python has neither ensurepip nor pip: apt-get install python3-pip"
    return 1
}

# install NAME ARGUMENTS...: pip install into .venv, once for each state of pyproject.toml.
install() {
    stamp=.venv/installed-$1
    shift
    if [ "$stamp" -nt pyproject.toml ]; then return; fi
    say "Installing $* into .venv"
    .venv/bin/python -m pip install --quiet "$@"
    touch "$stamp"
}

# provision PROGRAM:PACKAGE...: as root on Debian, install the packages whose programs, or files
# where a path is given, are missing.
# Without it whoever needs one says so: a test is skipped with the reason, or fails in CI.
provision() {
    missing=
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || [ -e "${pair%%:*}" ] || missing="$missing ${pair#*:}"
    done
    if [ -z "$missing" ]; then return; fi
    if [ -z "${NO_APT:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing with apt-get:$missing"
        # shellcheck disable=SC2086  # a list of words
        if apt_install $missing; then return; fi
    fi
    say "Not installed:$missing"
}

# Nothing that is installed here may run as a service, now (policy-rc.d) or after the next boot
# (systemctl disable): the tests start their own servers, on ports of their own.
apt_install() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        trap 'exit 1' INT TERM
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=120 update &&
        apt-get -qq -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends "$@" \
            </dev/null >/dev/null || exit 1
    if [ -d /run/systemd/system ]; then
        for service in redis-server postgresql pgbouncer nginx haproxy apache2; do
            case " $* " in *" $service"*) systemctl --quiet disable --now $service ;; esac
        done
    fi
)
