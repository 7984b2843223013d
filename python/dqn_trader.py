"""What a trained run sees and wants, in Python: one file, on numpy, pandas and torch.

    from dqn_trader import Run

    run = Run("results")                    # the results folder of a finished run
    x = run.features(frame)                 # the network's inputs, by time and stock
    q = run.predict(frame)                  # values of the positions, by time and stock
    run.wanted(frame, held={"AAPL": 1.0})   # the position of each stock after the last bar

`frame` has a row per bar and stock: `timestamp` (end of the bar; with a zone, or in UTC), `stock`,
`open`, `high`, `low`, `close`, `volume`, and the further columns that the run was trained with. It
should begin as many bars before the first one of interest as the run's `features.warmup_bars`;
`arbitrage`, which is measured in blocks, is equal to the program's if it begins at the same bar.

The formulas are those of `src/features/`; `features.json` has the windows, the scaling and the
order.
"""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd

MIN_VOLATILITY = 1e-6
MIN_STD = 1e-9
COLUMNS = ["open", "high", "low", "close", "volume"]


class Run:
    """A finished run: its features, its network, and how values become positions."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.sheet = json.loads((self.folder / "features.json").read_text())
        self.stocks = self.sheet["stocks"]
        self.names = self.sheet["names"]
        self._policy = None

    def features(self, frame):
        """Scaled features: one row per time at which some stock has a bar, and stock.

        Returns float32 of shape [times * stocks, features], indexed by (timestamp, stock). As in the
        program, a stock without a bar has the features of its last one, and zeros before its first.
        """
        bars = self._bars(frame)
        times = np.unique(np.concatenate([own.index.to_numpy() for own in bars.values()]))
        times = pd.DatetimeIndex(times, tz="UTC", name="timestamp")
        logs = {
            stock: np.log(own["close"].reindex(times).ffill().to_numpy())
            for stock, own in bars.items()
        }
        has_bar = {stock: times.isin(own.index) for stock, own in bars.items()}
        pairs = self._pairs(logs, has_bar)
        scaler = self.sheet["scaler"]
        clip = np.float32(self.sheet["windows"]["clip_std"])
        out = np.zeros((len(times), len(self.stocks), len(self.names)), dtype=np.float32)
        for number, stock in enumerate(self.stocks):
            raw = self._of_stock(number, bars[stock], logs, has_bar, pairs)
            mean, std = (np.array(scaler[key][number], dtype=np.float32) for key in ("mean", "std"))
            with np.errstate(invalid="ignore"):
                scaled = np.clip((raw - mean) / std, -clip, clip)
            scaled = np.where(np.isfinite(raw), scaled, np.float32(0))
            last = np.cumsum(has_bar[stock]) - 1
            out[last >= 0, number] = scaled[last[last >= 0]]
        index = pd.MultiIndex.from_product([times, self.stocks], names=["timestamp", "stock"])
        return pd.DataFrame(out.reshape(-1, len(self.names)), index=index, columns=self.names)

    def predict(self, frame):
        """Values of holding each position from the next open on, before costs, in units of the
        stock's `return_std`: one column per position, indexed by (timestamp, stock)."""
        import torch

        if self._policy is None:
            self._policy = torch.jit.load(str(self.folder / "policy.pt"), map_location="cpu")
        x = self.features(frame)
        shape = (-1, len(self.stocks), len(self.names))
        market = torch.tensor(x.to_numpy().reshape(shape))
        values = []
        with torch.no_grad():
            for number in range(len(self.stocks)):
                stock = torch.full((len(market),), number, dtype=torch.int64)
                values.append(self._policy(market, stock).numpy())
        stacked = np.stack(values, axis=1).reshape(len(x), -1)
        return pd.DataFrame(stacked, index=x.index, columns=self.sheet["positions"])

    def wanted(self, frame, held=None, cost=None):
        """The position that the DQN alone wants in each stock after the last bar, as a fraction of
        the stock's capital, if it now holds `held` (a dict by stock, 0 by default). `cost` is that
        of trading a stock's whole capital once; by default the run's fee and slippage."""
        values = self.predict(frame)
        values = values.loc[values.index[-1][0]]
        sheet, positions = self.sheet, np.array(self.sheet["positions"])
        cost = sheet["cost"] if cost is None else cost
        belief, risk_aversion = sheet["belief"], sheet["risk_aversion"]
        share, gamma = belief["share"], belief["gamma"]
        wanted = {}
        for number, stock in enumerate(self.stocks):
            std, drift = sheet["scaler"]["return_std"][number], belief["drift"][number]
            now, own_cost = (held or {}).get(stock, 0.0), cost / std
            bar = drift * positions - 0.5 * risk_aversion * std * positions**2
            limit = np.abs(bar) + gamma * own_cost * np.abs(positions)
            prior = np.clip(bar / (1 - gamma), -limit, limit)
            trade = own_cost * np.abs(positions - now)
            q = share * values.loc[stock].to_numpy() + (1 - share) * prior - trade
            wanted[stock] = float(positions[np.argmax(q)])
        return wanted

    def _bars(self, frame):
        """Each stock's bars by their ends in UTC, in order of time."""
        frame = frame.reset_index() if "timestamp" not in frame.columns else frame
        columns = COLUMNS + self.sheet["windows"].get("columns", [])
        missing = [name for name in ["timestamp", "stock", *columns] if name not in frame.columns]
        if missing:
            raise ValueError(f"the frame has no column {', '.join(missing)}")
        absent = [stock for stock in self.stocks if not (frame["stock"] == stock).any()]
        if absent:
            raise ValueError(f"the frame has no bars of {', '.join(absent)}")
        times = pd.to_datetime(frame["timestamp"], utc=True)
        bars = {}
        for stock in self.stocks:
            here = (frame["stock"] == stock).to_numpy()
            own = frame.loc[here, columns].astype(float)
            own.index = pd.DatetimeIndex(times[here])
            bars[stock] = own.sort_index()
        return bars

    def _of_stock(self, number, own, logs, has_bar, pairs):
        """Unscaled features of a stock at its own bars, [bar, feature], NaN where undefined."""
        windows, stock = self.sheet["windows"], self.stocks[number]
        close, volume = own["close"].to_numpy(), own["volume"].to_numpy()
        log_close, log_open = np.log(close), np.log(own["open"].to_numpy())
        day, second = self._clock(own.index)
        columns = [_change(log_close, k) for k in windows["return_bars"]]
        columns.append(_rsi(close, windows["rsi_bars"]))
        spans = [windows[f"macd_{name}_bars"] for name in ("fast", "slow", "signal")]
        columns.append(_macd_histogram(close, *spans) / close)
        columns.append(_bollinger(close, windows["bollinger_bars"], windows["bollinger_width"]))
        before = np.concatenate([[np.nan], log_close[:-1]])
        begins = np.concatenate([[True], day[1:] != day[:-1]])
        within = log_close - np.where(begins, log_open, before)
        columns += _volatilities(within, windows["volatility_bars"])
        columns += _autocorrelations(within, windows.get("autocorrelation_bars", []))
        columns += _volumes(volume, windows["volume_bars"], windows["volume_mean_bars"])
        gaps = np.where(begins, log_open - before, np.nan)
        columns.append(pd.Series(gaps).ffill().to_numpy())
        open_s, close_s = self.sheet["session_s"]
        place = np.pi * np.clip((second - open_s) / (close_s - open_s), 0, 1)
        columns += [np.sin(place), np.cos(place)]
        columns += _over_sessions(close, log_close, within, gaps, begins, windows)
        for name in windows.get("columns", []):
            known = own[name].where(np.isfinite(own[name])).ffill()
            columns.append(known.to_numpy())
        if windows["peers"]:
            peers = [self.stocks[peer] for peer in self.sheet["peers"][number]]
            at = has_bar[stock]
            carried = [logs[peer][at] for peer in peers]
            columns += _peer_features(log_close, carried, windows["relation_bars"])
            columns.append(self._arbitrage(number, pairs, len(at))[at])
        return np.column_stack([np.asarray(column, dtype=np.float32) for column in columns])

    def _clock(self, index):
        """Local dates as integers, and seconds after midnight."""
        local = index.tz_convert(self.sheet["zone"])
        second = (local.hour * 3600 + local.minute * 60 + local.second).to_numpy()
        return local.year.to_numpy() * 512 + local.dayofyear.to_numpy(), second

    def _pairs(self, logs, has_bar):
        """z-scores of the spread of every stock and its nearest peer, by pair, at all times."""
        windows = self.sheet["windows"]
        if not windows["peers"]:
            return {}
        nearest = {
            tuple(sorted((number, peers[0])))
            for number, peers in enumerate(self.sheet["peers"])
            if peers
        }
        level = windows["arbitrage_level"] / max(1, len(nearest))
        found = {}
        for pair in sorted(nearest):
            first, second = (self.stocks[number] for number in pair)
            both = has_bar[first] & has_bar[second]
            z = _pair_z(logs[first][both], logs[second][both], windows["arbitrage_bars"], level)
            whole = np.full(len(both), np.nan)
            whole[both] = z
            found[pair] = pd.Series(whole).ffill().fillna(0.0).to_numpy()
        return found

    def _arbitrage(self, number, pairs, times):
        """The spread to the nearest peer at all times, positive where the stock is rich."""
        peers = self.sheet["peers"][number]
        if not peers:
            return np.zeros(times)
        pair = tuple(sorted((number, peers[0])))
        return pairs[pair] if pair[0] == number else -pairs[pair]


def _change(values, bars):
    out = np.full(len(values), np.nan)
    out[bars:] = values[bars:] - values[: len(values) - bars]
    return out


def _rolling(values, bars):
    """Mean and population standard deviation over windows of so many values; NaN until full."""
    mean, std = (np.full(len(values), np.nan) for _ in range(2))
    if len(values) < bars:
        return mean, std
    windows = np.lib.stride_tricks.sliding_window_view(values, bars)
    # A part at a time, for windows are copied.
    step = max(1, 4_000_000 // bars)
    for start in range(0, len(windows), step):
        part = windows[start : start + step]
        here = slice(start + bars - 1, start + bars - 1 + len(part))
        mean[here] = part.mean(axis=1)
        std[here] = part.std(axis=1)
    return mean, std


def _rsi(close, period):
    """RSI with Wilder's smoothing (1978), rescaled to -1 to 1; 0 where the price has not moved."""
    out = np.full(len(close), np.nan)
    gain = loss = 0.0
    for t in range(1, len(close)):
        change = close[t] - close[t - 1]
        if t > period:
            gain, loss = gain * (period - 1), loss * (period - 1)
        gain, loss = gain + max(change, 0.0), loss + max(-change, 0.0)
        if t < period:
            continue
        gain, loss = gain / period, loss / period
        out[t] = 2 * gain / (gain + loss) - 1 if gain + loss > 0 else 0.0
    return out


def _ema(values, period):
    """Exponential average, seeded with the mean of the first `period` values."""
    out = np.full(len(values), np.nan)
    if len(values) < period:
        return out
    average, weight = values[:period].mean(), 2.0 / (period + 1.0)
    out[period - 1] = average
    for t in range(period, len(values)):
        average += (values[t] - average) * weight
        out[t] = average
    return out


def _macd_histogram(close, fast, slow, signal):
    """MACD less its signal line (Appel 1979), as TA-Lib has it: both averages begin at one bar."""
    fast, slow = min(fast, slow), max(fast, slow)
    skip = slow - fast
    macd = np.concatenate([np.full(skip, np.nan), _ema(close[skip:], fast)]) - _ema(close, slow)
    out = np.full(len(close), np.nan)
    out[slow - 1 :] = macd[slow - 1 :] - _ema(macd[slow - 1 :], signal)
    return out


def _bollinger(close, bars, width):
    """2 %b - 1 of Bollinger (2001): -1 at the lower band, 1 at the upper one; 0 without width."""
    mean, std = _rolling(close, bars)
    half = width * std
    flat = half <= 1e-13 * mean
    return np.where(flat, 0.0, (close - mean) / np.where(flat, 1.0, half))


def _volatilities(within, lengths):
    """Logs of root mean squares; all but the longest relative to it."""
    levels = []
    for bars in lengths:
        mean, _ = _rolling(within**2, bars)
        level = np.log(np.maximum(np.sqrt(mean), MIN_VOLATILITY))
        levels.append(level.astype(np.float32))
    return _relative_to_longest(levels, lengths)


def _autocorrelations(within, lengths):
    """Of the returns over so many bars with the bar before, from -1 to 1."""
    before = np.concatenate([[0.0], within[:-1]])
    out = []
    for bars in lengths:
        product, _ = _rolling(within * before, bars)
        square, _ = _rolling((within**2 + before**2) / 2, bars)
        out.append(product / np.maximum(square, MIN_VOLATILITY**2))
    return out


def _relative_to_longest(levels, lengths):
    if not lengths:
        return []
    # The last of equals, as in the program.
    longest = max(range(len(lengths)), key=lambda place: (lengths[place], place))
    whole = levels[longest]
    return [level if place == longest else level - whole for place, level in enumerate(levels)]


def _volumes(volume, bars, means):
    logs = np.log1p(volume)
    level, spread = _rolling(logs, bars)
    out = []
    for length in means:
        mean, _ = _rolling(logs, length)
        still = spread <= MIN_STD
        out.append(np.where(still, 0.0, (mean - level) / np.where(still, 1.0, spread)))
    return out


def _over_sessions(close, log_close, within, gaps, begins, windows):
    """Features with horizons in sessions: returns, volatilities, RSI."""
    returns = windows.get("return_sessions") or []
    volatilities, indices = windows["volatility_sessions"], windows["rsi_sessions"]
    out = [np.full(len(close), np.nan) for _ in returns + volatilities + indices]
    starts = np.flatnonzero(begins)
    closes, variances, variance = [], [], 0.0
    wilder = [[0.0, 0.0, 0] for _ in indices]
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(close)
        if number > 0:
            closes.append(start - 1)
            variances.append(variance)
            for state, period in zip(wilder, indices):
                _wilder_update(state, period, close, closes)
        gap = gaps[start]
        variance = (0.0 if math.isnan(gap) else gap * gap) + float((within[start:end] ** 2).sum())
        if not closes:
            continue
        here = slice(start, end)
        for place, sessions in enumerate(returns):
            out[place][here] = log_close[here] - log_close[closes[-min(sessions, len(closes))]]
        levels = [
            np.float32(math.log(max(math.sqrt(np.mean(variances[-sessions:])), MIN_VOLATILITY)))
            for sessions in volatilities
        ]
        for place, level in enumerate(_relative_to_longest(levels, volatilities)):
            out[len(returns) + place][here] = level
        first = len(returns) + len(volatilities)
        for place, ((gain, loss, changes), period) in enumerate(zip(wilder, indices)):
            kept = period - 1 if changes >= period else 1
            change = close[here] - close[closes[-1]]
            up, down = np.maximum(change, 0), np.maximum(-change, 0)
            total = gain * kept + up + loss * kept + down
            moved = total > 0
            share = (gain * kept + up) / np.where(moved, total, 1.0)
            out[first + place][here] = np.where(moved, 2 * share - 1, np.nan)
    return out


def _wilder_update(state, period, close, closes):
    """Takes in a session's close; gains and losses are sums until there are `period` changes."""
    if len(closes) < 2:
        return
    change = close[closes[-1]] - close[closes[-2]]
    gain, loss, changes = state
    if changes >= period:
        gain, loss = gain * (period - 1), loss * (period - 1)
    gain, loss, changes = gain + max(change, 0.0), loss + max(-change, 0.0), changes + 1
    if changes >= period:
        gain, loss = gain / period, loss / period
    state[:] = [gain, loss, changes]


def _peer_features(log_close, peers, bars):
    """Features that relate a stock to its peers' last known closes, at its own bars."""
    count = len(log_close)
    if not peers:
        return [np.zeros(count) for _ in range(5)]
    mean_1, mean_5 = (_mean_change(peers, k) for k in (1, 5))
    own = _change(log_close, 1)
    known = ~(np.isnan(mean_1) | np.isnan(own))
    x, y = mean_1[known], own[known]
    (mean_x, std_x), (mean_y, std_y) = _rolling(x, bars), _rolling(y, bars)
    covariance = _rolling(x * y, bars)[0] - mean_x * mean_y
    if len(x) >= bars:
        windows = [np.lib.stride_tricks.sliding_window_view(values, bars) for values in (x, y)]
        step = max(1, 4_000_000 // bars)
        for start in range(0, len(windows[0]), step):
            left, right = (part[start : start + step] for part in windows)
            here = slice(start + bars - 1, start + bars - 1 + len(left))
            centred = left - mean_x[here][:, None]
            covariance[here] = (centred * (right - mean_y[here][:, None])).mean(axis=1)
    moves_x, moves = std_x > MIN_STD, (std_x > MIN_STD) & (std_y > MIN_STD)
    beta = np.where(moves_x, covariance / np.where(moves_x, std_x**2, 1.0), 0.0)
    product = np.where(moves, std_x * std_y, 1.0)
    together = np.where(moves, np.clip(covariance / product, -1, 1), 0.0)
    undefined = np.isnan(mean_x)
    residual, correlation = (np.full(count, np.nan) for _ in range(2))
    residual[known] = np.where(undefined, np.nan, y - beta * x)
    correlation[known] = np.where(undefined, np.nan, together)
    ratio = log_close - peers[0]
    has_ratio = ~np.isnan(ratio)
    mean, std = _rolling(ratio[has_ratio], bars)
    moves = std > MIN_STD
    z = np.where(moves, (ratio[has_ratio] - mean) / np.where(moves, std, 1.0), 0.0)
    spread = np.full(count, np.nan)
    spread[has_ratio] = np.where(np.isnan(mean), np.nan, z)
    columns = [mean_1, mean_5, residual, correlation, spread]
    # Undefined until the stock's own windows are full; after that nothing is known of a peer.
    for column in columns:
        column[bars:] = np.nan_to_num(column[bars:], nan=0.0)
    return columns


def _mean_change(peers, bars):
    changes = np.stack([_change(peer, bars) for peer in peers])
    known = ~np.isnan(changes)
    counts = known.sum(axis=0)
    sums = np.where(known, changes, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _pair_z(first, second, bars, level):
    """z-scores of the spread under the regression of the block before; 0 where that was no
    cointegration (Engle and Granger 1987)."""
    out = np.zeros(len(first))
    verdict = None
    for start in range(0, len(first), bars):
        here = slice(start, start + bars)
        if verdict is not None:
            constant, ratio, std = verdict
            out[here] = (first[here] - constant - ratio * second[here]) / std
        if len(first[here]) == bars:
            verdict = _cointegration(first[here], second[here], level)
    return out


def _cointegration(first, second, level):
    """Constant, hedge ratio and residual's standard deviation; None if the test does not pass."""
    if len(first) < 30:
        return None
    variance = second.var()
    if not math.sqrt(variance) > MIN_STD:
        return None
    ratio = ((second - second.mean()) * (first - first.mean())).mean() / variance
    constant = first.mean() - ratio * second.mean()
    residuals = first - constant - ratio * second
    std = math.sqrt((residuals**2).mean())
    if not std > MIN_STD:
        return None
    statistic = _dickey_fuller(residuals / std)
    if statistic is None:
        return None
    count = len(first)
    p_value = _mackinnon(statistic + 10.9519 / count + 22.527 / count**2)
    return (constant, ratio, std) if p_value <= level and ratio > 0 else None


def _dickey_fuller(values, lags=4):
    """t-statistic of the lagged level, with lagged changes and no constant (Said and Dickey 1984)."""
    changes = np.diff(values)
    terms = [values[lags:-1]]
    terms += [changes[lags - lag : len(changes) - lag] for lag in range(1, lags + 1)]
    design, changed = np.column_stack(terms), changes[lags:]
    squares = design.T @ design
    try:
        inverse = np.linalg.inv(squares)
    except np.linalg.LinAlgError:
        return None
    slopes = inverse @ (design.T @ changed)
    noise = ((changed - design @ slopes) ** 2).sum() / (len(values) - 2 * (lags + 1))
    error = math.sqrt(noise * inverse[0, 0]) if noise * inverse[0, 0] > 0 else 0.0
    return slopes[0] / error if error > 0 else None


def _mackinnon(statistic):
    """Asymptotic p-value of MacKinnon (1994), two series and a constant."""
    if not -18.86 <= statistic <= 0.92:
        return 1.0 if statistic > 0 else 0.0
    small, large = (2.92, 1.5012, 0.039796, 0.0), (2.1945, 0.64695, -0.29198, -0.042377)
    coefficients = small if statistic <= -2.62 else large
    score = sum(c * statistic**power for power, c in enumerate(coefficients))
    return 0.5 * math.erfc(-score / math.sqrt(2))
