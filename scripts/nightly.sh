#!/usr/bin/env bash
# The nightly update: fetches new bars from Alpha Vantage, checks them, and uploads them to Azure.
#
#     ./scripts/nightly.sh AAPL MSFT SPY
#     DATA=/srv/bars INTERVAL=1min FETCH_FLAGS='--requests-per-minute 75' ./scripts/nightly.sh $(cat stocks.txt)
#
# Keys come from the environment or from .cloudkeys/api_keys.env in the clone. Settings, as environment variables:
#
#     DATA         folder of the day files                              bars, in the clone
#     START, END   first and last day to fetch                          2018-01-01, today in New York
#     INTERVAL     1min, 5min, 15min, 30min or 60min                    5min
#     FETCH_FLAGS  more flags of dqn-trader fetch, such as --raw
#     CHECK_FROM   first day to check                                   35 days ago, or START if that is later
#     CONTAINER    Azure container                                      the program's default
#     UPLOAD       no: do not upload                                    yes
#     PROGRAM      the program                                          target/release/dqn-trader, in the clone
#
# Any failure ends it: exit code 2 for an error that needs action (or a limit of the service: the next night resumes where
# it stopped), 1 if the check finds errors; then nothing is uploaded.
#
# The service has a day's bars some hours after 20:00 in New York, so run it from Tuesday to Saturday after midnight.
# With cron (crontab -e), which mails the output of a failed night:
#
#     CRON_TZ=America/New_York
#     30 2 * * 2-6  cd /path/to/dqn-trader && ./scripts/nightly.sh AAPL MSFT SPY >nightly.log 2>&1 || cat nightly.log
#
# With systemd, as ~/.config/systemd/user/bars.service and bars.timer (systemctl --user enable --now bars.timer):
#
#     [Service]                                                    [Timer]
#     Type=oneshot                                                 OnCalendar=Tue..Sat 02:30 America/New_York
#     ExecStart=/path/to/dqn-trader/scripts/nightly.sh AAPL MSFT   Persistent=true
#                                                                  [Install]
#                                                                  WantedBy=timers.target
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { printf 'error: %s\n' "$*" >&2; exit 2; }

[ $# -gt 0 ] || die "no stocks; usage: ./scripts/nightly.sh AAPL MSFT"
PROGRAM=${PROGRAM:-target/release/dqn-trader}
[ -x "$PROGRAM" ] || die "$PROGRAM is missing; build it with ./scripts/setup.sh"
DATA=${DATA:-bars}
START=${START:-2018-01-01}
END=${END:-$(TZ=America/New_York date +%F)}
check_from=$(date -d '35 days ago' +%F)
[[ $check_from > $START ]] || check_from=$START
read -ra fetch_flags <<<"${FETCH_FLAGS:-}"
container=()
[ -z "${CONTAINER:-}" ] || container=(--container "$CONTAINER")

"$PROGRAM" fetch --stocks "$@" --data "$DATA" --start_date "$START" --end_date "$END" \
  --interval "${INTERVAL:-5min}" ${fetch_flags[@]+"${fetch_flags[@]}"}
"$PROGRAM" data check --stocks "$@" --data "$DATA" --start_date "${CHECK_FROM:-$check_from}"
if [ "${UPLOAD:-yes}" != no ]; then
  "$PROGRAM" data upload "$DATA" --stocks "$@" ${container[@]+"${container[@]}"}
fi
