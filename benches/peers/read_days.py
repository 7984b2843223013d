"""Seconds to read day files, each stock into one table, one thread: `read_days.py LIBRARY DAYS STOCK...`."""

import argparse
import os
from pathlib import Path

from market import now, one_thread, tell

one_thread()
os.environ["POLARS_MAX_THREADS"] = os.environ["ARROW_NUM_THREADS"] = "1"

parser = argparse.ArgumentParser()
parser.add_argument("library", choices=["polars", "duckdb", "pyarrow"])
parser.add_argument("days")
parser.add_argument("stocks", nargs="+")
args = parser.parse_args()


def files(stock):
    return sorted((Path(args.days) / "stocks_intraday" / stock).rglob("*.parquet"))


if args.library == "polars":
    import polars

    def read(stock):
        return polars.scan_parquet(files(stock)).collect().height

elif args.library == "duckdb":
    import duckdb

    connection = duckdb.connect(config={"threads": 1})

    def read(stock):
        named = [str(file) for file in files(stock)]
        return len(connection.execute("select * from read_parquet(?)", [named]).fetchnumpy()["close"])

else:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def read(stock):
        return pa.concat_tables([pq.ParquetFile(file).read(use_threads=False) for file in files(stock)]).num_rows


read(args.stocks[0])
start = now()
rows = sum(read(stock) for stock in args.stocks)
assert rows
tell(now() - start)
