"""The rows of `features.flight_features`, computed with pandas alone from the files in `data/`.

Two uses: the delay model can be trained without a server, and the tests hold the server's
point-in-time join against this second opinion.
"""

from pathlib import Path

import pandas as pd

DATA = Path(__file__).parent / "data"
LEAD = pd.Timedelta(hours=2)
TOLERANCE = pd.Timedelta(hours=6)
WEATHER = ["temp", "humid", "wind_speed", "precip", "pressure", "visib"]


def flights() -> pd.DataFrame:
    """Both months of flights, times as UTC microseconds."""
    january = pd.read_csv(DATA / "flights_2013_01.csv")
    february = pd.read_parquet(DATA / "flights_2013_02.parquet")
    for column in ["scheduled_at", "departed_at", "arrived_at"]:
        january[column] = pd.to_datetime(january[column], utc=True).astype("datetime64[us, UTC]")
    return pd.concat([january, february], ignore_index=True)


def airport_weather() -> pd.DataFrame:
    """What `features.airport_weather` holds."""
    weather = pd.read_csv(DATA / "weather.csv")
    weather["observed_at"] = pd.to_datetime(weather.observed_at, utc=True).astype("datetime64[us, UTC]")
    return weather[["origin", "observed_at", *WEATHER]]


def airport_delays(source: pd.DataFrame) -> pd.DataFrame:
    """What `features.airport_delays` holds."""
    flown = source.dropna(subset=["departed_at"])
    known_at = flown.departed_at.dt.floor("h") + pd.Timedelta(hours=1)
    delays = flown.assign(known_at=known_at).groupby(["origin", "known_at"]).departure_delay
    return delays.agg(departures="size", mean_departure_delay="mean").reset_index()


def as_of(left: pd.DataFrame, right: pd.DataFrame, time: str) -> pd.DataFrame:
    """Each left row with the last right row of its airport known when it was decided."""
    return pd.merge_asof(
        left.sort_values("decided_at"),
        right.sort_values(time),
        left_on="decided_at",
        right_on=time,
        by="origin",
        tolerance=TOLERANCE,
    )


def flight_features() -> pd.DataFrame:
    """The training rows, one for each flight, in the order of their ids."""
    source = flights()
    rows = source[["flight_id", "scheduled_at", "carrier", "origin", "dest", "distance"]].copy()
    rows["decided_at"] = rows.scheduled_at - LEAD
    local = rows.scheduled_at.dt.tz_convert("America/New_York")
    rows["scheduled_hour"] = local.dt.hour.astype("float64")
    rows["late"] = (source.arrival_delay > 15).astype("boolean").mask(source.arrival_delay.isna())
    rows = as_of(rows, airport_weather(), "observed_at")
    rows = as_of(rows, airport_delays(source), "known_at")
    return rows.sort_values("flight_id", ignore_index=True)
