#!/bin/sh
# Install the DNS software that tests and benchmarks compare with, where root and apt are there, and only what is
# missing (all of them, or those named as arguments). No service is started by it: a policy-rc.d that denies stands
# there while apt runs, and units that come with a package are stopped from starting at boot where systemd runs.
# With CI=true a peer that can't be had is a failure; otherwise it is named, and the tests that need it skip aloud.
set -eu
all="bind9 bind9-utils bind9-dnsutils nsd knot knot-dnssecutils knot-dnsutils ldnsutils unbound dnsperf softhsm2 faketime git python3-certbot-dns-rfc2136"
packages=${*:-$all}

missing() {
    for package in $packages; do
        status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
        [ "$status" = "install ok installed" ] || printf ' %s' "$package"
    done
}

absent=$(missing)
[ -n "$absent" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT INT TERM
    fi
    echo "installing:$absent" >&2
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { apt-get update -q=2 && apt-get install -q=2 --no-install-recommends $absent; } >&2 || true
    if [ -d /run/systemd/system ]; then
        for package in $absent; do
            case $package in
                bind9) systemctl disable --now named >/dev/null 2>&1 || true ;;
                nsd | knot | unbound) systemctl disable --now "$package" >/dev/null 2>&1 || true ;;
            esac
        done
    fi
    absent=$(missing)
fi

[ -n "$absent" ] || exit 0
echo "not installed, tests that need them will be skipped:$absent" >&2
[ "${CI:-}" != true ]
