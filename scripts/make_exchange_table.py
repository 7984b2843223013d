#!/usr/bin/env python3
"""Writes src/market/calendar/exchanges.txt from the package exchange_calendars.

Only for whoever brings the table up to date: python3 -m venv V && V/bin/pip install 'pandas<3'
exchange_calendars && V/bin/python scripts/make_exchange_table.py
"""

import importlib.metadata
import itertools
import pathlib
import statistics
import warnings

import exchange_calendars
import pandas as pd
from exchange_calendars import calendar_utils

FIRST, LAST = pd.Timestamp("2000-01-01"), pd.Timestamp("2035-12-31")
# Hours are usual if most sessions have them among so many before and after.
AROUND = 20
TABLE = pathlib.Path(__file__).parent.parent / "src/market/calendar/exchanges.txt"

HEAD = """\
# Sessions of exchanges by ISO 10383 market identifier code, in local time.
# Made by scripts/make_exchange_table.py from exchange_calendars {version}
# (https://github.com/gerrymanoim/exchange_calendars, Apache License 2.0).
#
# MIC zone first-day last-day     what follows is of this exchange; the days are those that are known
# week DATE 1111100               days with sessions from this date on, Monday first
# hours DATE OPEN CLOSE [PAUSE]   usual hours from this date on
# closed YEAR MMDD ...            days of the week without a session
# open YEAR MMDD ...              sessions on other days
# special YEAR MMDD=OPEN-CLOSE    sessions with other hours
# alias NAME MIC                  another name of an exchange
"""


def by_year(word, days):
    for year, group in itertools.groupby(days, key=lambda day: day[0].year):
        yield f"{word} {year} " + " ".join(f"{date:%m%d}{rest}" for date, rest in group)


def weeks(sessions, days):
    """Masks of days with sessions, by year: more than half of a year's Mondays make a Monday."""
    masks = {}
    for year in sorted(set(days.year)):
        share = [
            (sessions.year == year)[sessions.weekday == weekday].sum()
            / max(1, (days.year == year)[days.weekday == weekday].sum())
            for weekday in range(7)
        ]
        masks[year] = "".join("1" if part > 0.5 else "0" for part in share)
    return masks


def section(calendar):
    schedule = calendar.schedule
    sessions = schedule.index

    def clock(column):
        return schedule[column].dt.tz_convert(calendar.tz).dt.strftime("%H:%M")

    hours = clock("open") + " " + clock("close")
    pause = " " + clock("break_start") + "-" + clock("break_end")
    hours = (hours + pause.fillna("")).tolist()
    days = pd.date_range(sessions[0], sessions[-1])
    yield f"{calendar.name} {calendar.tz.key} {days[0]:%Y-%m-%d} {days[-1]:%Y-%m-%d}"

    masks = weeks(sessions, days)
    changes = [year for year in masks if masks[year] != masks.get(year - 1)]
    for year in changes:
        date = max(days[0], pd.Timestamp(year, 1, 1))
        yield f"week {date:%Y-%m-%d} {masks[year]}"

    usual = []
    for i in range(len(hours)):
        near = hours[max(0, i - AROUND) : i + AROUND + 1]
        usual.append(statistics.mode([hours[i], *near]))
    for i, now in enumerate(usual):
        if i == 0 or now != usual[i - 1]:
            yield f"hours {sessions[i]:%Y-%m-%d} {now}"

    has = set(sessions)
    expected = [day for day in days if masks[day.year][day.weekday()] == "1"]
    yield from by_year("closed", [(day, "") for day in expected if day not in has])
    yield from by_year(
        "open", [(day, "") for day in sessions if masks[day.year][day.weekday()] == "0"]
    )
    special = [
        (day, f"={own[:5]}-{own[6:11]}".replace(":", ""))
        for day, own, now in zip(sessions, hours, usual)
        if own[:11] != now[:11]
    ]
    yield from by_year("special", special)


def main():
    warnings.filterwarnings("ignore")
    aliases = calendar_utils._default_calendar_aliases
    names = exchange_calendars.get_calendar_names(include_aliases=False)
    lines = [HEAD.format(version=importlib.metadata.version("exchange_calendars"))]
    for name in sorted(name for name in names if len(name) == 4 and name.isupper()):
        known = exchange_calendars.get_calendar(name)
        first = max(FIRST, known.bound_min() or FIRST)
        last = min(LAST, known.bound_max() or LAST)
        calendar = exchange_calendars.get_calendar(name, start=first, end=last)
        opens = calendar.schedule["open"].dt.tz_convert(calendar.tz).dt.tz_localize(None)
        # Sessions of futures begin on the evening before.
        if (opens.dt.normalize() == calendar.schedule.index).all():
            lines.append("\n".join(section(calendar)) + "\n")
    known = [line.split(" ", 1)[0] for line in lines[1:]]
    also = [f"alias {name} {of}" for name, of in sorted(aliases.items()) if of in known]
    lines.append("\n".join(also) + "\n")
    TABLE.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
