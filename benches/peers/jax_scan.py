"""DQN in JAX with environment, replay, acting and learning in one jitted `lax.scan`, as PureJaxRL writes it: environment
steps per second. All lanes of all stocks step together; every step of the lanes is followed by one gradient of `--batch`
transitions of each stock, so the replay ratio is batch / lanes."""

import argparse

from market import COST, PRIVATE, Panel, hidden_width, now, one_thread, tell

one_thread()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402
from jax import lax, nn, random  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("work")
parser.add_argument("--network", choices=["plain", "attention"], default="plain")
parser.add_argument("--lanes", type=int, default=64)
parser.add_argument("--batch", type=int, default=64, help="0: acts only")
parser.add_argument("--seconds", type=float, default=5)
args = parser.parse_args()

panel = Panel(args.work)
FEATURES = jnp.asarray(panel.features)
RETURNS = jnp.asarray((panel.close[1:] / panel.close[:-1] - 1).astype("float32"))
ROWS, SYMBOLS, WIDTH = FEATURES.shape
ATTENDS = args.network == "attention"
# Without attention the panel is that of one stock.
STOCKS = SYMBOLS if ATTENDS else 1
SLOTS = jnp.array([[(stock + k) % SYMBOLS for k in range(SYMBOLS if ATTENDS else 1)] for stock in range(STOCKS)])
LANES, BATCH = args.lanes, args.batch
CAPACITY = 100_000 // LANES * LANES
STEPS = 12_800 // LANES
DISCOUNT, EPSILON, TARGET_EVERY = 0.99, 0.1, 500
# Of a transition: private state before and after, reward, action and row.
RECORD = 2 * PRIVATE + 3


def linear(key, inputs, outputs):
    return {"w": random.normal(key, (inputs, outputs)) * inputs**-0.5, "b": jnp.zeros(outputs)}


def through(layer, x):
    return x @ layer["w"] + layer["b"]


def norm(layer, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred * lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * layer["scale"] + layer["shift"]


def plain_network(keys):
    """Two equal hidden layers with as many parameters as this program's network without attention."""
    inputs = WIDTH + PRIVATE
    hidden = hidden_width(inputs, 3, panel.spec["parameters"]["plain"])
    weights = [linear(keys[0], inputs, hidden), linear(keys[1], hidden, hidden), linear(keys[2], hidden, 3)]

    def values(weights, market, slots, private):
        x = jnp.concatenate([market.reshape(len(market), -1), private], 1)
        for layer in weights[:-1]:
            x = nn.relu(through(layer, x))
        return through(weights[-1], x)

    return weights, values


def attention_network(keys):
    """The layers of networks.py's `Attention` and `Dueling`."""
    width, heads, symbol, trunk = 64, 4, 8, 128
    ones = lambda size: {"scale": jnp.ones(size), "shift": jnp.zeros(size)}  # noqa: E731
    weights = {
        "symbol": 0.1 * random.normal(keys[0], (SYMBOLS, symbol)),
        "first": linear(keys[1], WIDTH + symbol, width), "first_norm": ones(width),
        "second": linear(keys[2], width, width), "second_norm": ones(width),
        "query": linear(keys[3], width, width), "output": linear(keys[4], width, width),
        "key": linear(keys[5], width, width)["w"], "value": linear(keys[6], width, width)["w"],
        "nearness": jnp.zeros((SYMBOLS - 1, heads)),
        "trunk": linear(keys[7], 2 * width + PRIVATE, trunk), "trunk_norm": ones(trunk),
        "state": linear(keys[8], trunk, 1), "advantage": linear(keys[9], trunk, 3),
    }  # fmt: skip

    def values(w, market, slots, private):
        rows = len(market)
        x = jnp.concatenate([market, w["symbol"][slots]], 2)
        x = nn.relu(norm(w["first_norm"], through(w["first"], x)))
        x = norm(w["second_norm"], through(w["second"], x))
        own, peers = x[:, 0], x[:, 1:]
        split = (rows, -1, heads, width // heads)
        query = through(w["query"], own).reshape(split) * (width // heads) ** -0.5
        scores = (query * (peers @ w["key"]).reshape(split)).sum(-1) + w["nearness"]
        shares = nn.softmax(scores, 1)[..., None]
        mixed = (shares * (peers @ w["value"]).reshape(split)).sum(1).reshape(rows, width)
        joined = jnp.concatenate([own, through(w["output"], mixed), private], 1)
        x = nn.relu(norm(w["trunk_norm"], through(w["trunk"], joined)))
        advantage = through(w["advantage"], x)
        return through(w["state"], x) + advantage - advantage.mean(1, keepdims=True)

    return weights, values


keys = random.split(random.PRNGKey(1), 11)
weights, values = (attention_network if ATTENDS else plain_network)(keys)
optimizer = optax.adam(2.5e-4)
OF_LANE = jnp.repeat(jnp.arange(STOCKS), LANES)
OF_SAMPLE = jnp.repeat(jnp.arange(STOCKS), max(BATCH, 1))


def market(rows, slots):
    return FEATURES[rows[:, None], slots]


def private_of(account):
    position, unrealized, held = account
    return jnp.stack([position, unrealized, jnp.log1p(held) / 5], 1)


def act(weights, rows, account, key):
    """Rows and accounts after a step, and the records of its transitions."""
    before = private_of(account)
    greedy = values(weights, market(rows, SLOTS[OF_LANE]), SLOTS[OF_LANE], before).argmax(1)
    explores, action = random.split(key)
    explores = random.uniform(explores, greedy.shape) < EPSILON
    action = jnp.where(explores, random.randint(action, greedy.shape, 0, 3), greedy)
    position = action.astype(jnp.float32) - 1
    held_before, unrealized, held = account
    gain = position * RETURNS[rows, OF_LANE]
    reward = gain - COST * jnp.abs(position - held_before)
    kept = position == held_before
    account = (position, jnp.where(kept, unrealized, 0.0) + gain, jnp.where(kept, held, 0.0) + (position != 0))
    rest = jnp.stack([reward, action.astype(jnp.float32), rows.astype(jnp.float32)], 1)
    record = jnp.concatenate([before, private_of(account), rest], 1)
    return jnp.where(rows + 1 >= ROWS - 1, 0, rows + 1), account, record.reshape(STOCKS, LANES, RECORD)


def learn(weights, target, moments, records, size, key):
    drawn = records[OF_SAMPLE, random.randint(key, (STOCKS * BATCH,), 0, size)]
    slots, rows = SLOTS[OF_SAMPLE], drawn[:, -1].astype(jnp.int32)
    reward, action = drawn[:, -3], drawn[:, -2].astype(jnp.int32)
    before, after = drawn[:, :PRIVATE], drawn[:, PRIVATE : 2 * PRIVATE]
    wanted = reward + DISCOUNT * values(target, market(rows + 1, slots), slots, after).max(1)

    def loss(weights):
        found = values(weights, market(rows, slots), slots, before)
        return ((jnp.take_along_axis(found, action[:, None], 1)[:, 0] - wanted) ** 2).mean()

    updates, moments = optimizer.update(jax.grad(loss)(weights), moments)
    return optax.apply_updates(weights, updates), moments


def step(state, _):
    weights, target, moments, rows, account, records, key, count = state
    key, acting, drawing = random.split(key, 3)
    rows, account, record = act(weights, rows, account, acting)
    records = lax.dynamic_update_slice(records, record, (0, count * LANES % CAPACITY, 0))
    if BATCH:
        size = jnp.minimum((count + 1) * LANES, CAPACITY)
        weights, moments = learn(weights, target, moments, records, size, drawing)
        target = lax.cond(count % TARGET_EVERY == 0, lambda: weights, lambda: target)
    return (weights, target, moments, rows, account, records, key, count + 1), record[..., 2 * PRIVATE].sum()


@jax.jit
def run(state):
    return lax.scan(step, state, None, length=STEPS)[0]


def main():
    start = jnp.tile(jnp.arange(LANES) * (ROWS // LANES) % (ROWS - 2), STOCKS)
    account = tuple(jnp.zeros(STOCKS * LANES) for _ in range(3))
    copy = jax.tree.map(jnp.copy, weights)
    records = jnp.zeros((STOCKS, CAPACITY, RECORD))
    state = (weights, copy, optimizer.init(weights), start, account, records, random.PRNGKey(2), 0)
    for _ in range(2):
        state = jax.block_until_ready(run(state))
    rounds, since = 0, now()
    while now() - since < args.seconds:
        state = jax.block_until_ready(run(state))
        rounds += 1
    tell(rounds * STEPS * STOCKS * LANES / (now() - since))


main()
