//! Limits of this machine.

use std::hint::black_box;
#[cfg(feature = "mpi")]
use std::time::Instant;

use dqn_trader::rl::libtorch::multiply;
use serde_json::{Value, json};

use super::setup::fastest;

/// On one core: fp32 products of square matrices by libtorch, and copies beyond the caches.
pub(crate) fn limits() -> Value {
    const SIDE: usize = 1_024;
    // Many at a time, beside the one matrix that they share.
    const TIMES: usize = 20;
    let product = fastest(|| multiply(SIDE, TIMES).expect("libtorch")) / TIMES as f64;
    const ELEMENTS: usize = 256 << 20 >> 3;
    let (from, mut to) = (vec![1.0f64; ELEMENTS], vec![0.0f64; ELEMENTS]);
    let copy = fastest(|| black_box(&mut to).copy_from_slice(black_box(&from)));
    json!({
        "value": 2.0 * (SIDE as f64).powi(3) / product * 1e-9,
        "copied_gb_per_s": 2.0 * 8.0 * ELEMENTS as f64 / copy * 1e-9,
    })
}

#[cfg(not(feature = "mpi"))]
pub(crate) fn sync(_: f64) -> Option<Value> {
    panic!("this build has no MPI")
}

/// The sum of every worker rank's gradient on rank 0, and the broadcast of the parameters: by this
/// program, and by bare collectives with the same bytes, which do not add. Interleaved, so that
/// both run under the same machine load.
#[cfg(feature = "mpi")]
pub(crate) fn sync(seconds: f64) -> Option<Value> {
    use dqn_trader::comm::mpi::MpiComm;
    use dqn_trader::comm::{Comm, MessageStamp, Ranks, Tag};
    use mpi::collective::{CommunicatorCollectives, Root};
    use mpi::datatype::PartitionMut;
    use mpi::topology::{Communicator, SimpleCommunicator};

    const PARAMETERS: usize = 50_000;
    const ROUNDS: usize = 200;
    let comm = MpiComm::start(None).expect("MPI");
    let world = SimpleCommunicator::world();
    let (rank, size) = (comm.rank(), comm.size());
    let ranks = Ranks { stocks: size - 1, size };
    let counts = ranks.counts(PARAMETERS);
    let mut mine = vec![rank as f32; counts[rank]];
    let mut sum = vec![0.0; PARAMETERS];
    let mut parameters = vec![0.0; PARAMETERS];
    let mut ours = |time: i64| {
        comm.sum(MessageStamp { tag: Tag::Gradients, time }, &mut mine, ranks, &mut sum)
            .expect("sent");
        comm.broadcast(MessageStamp { tag: Tag::Parameters, time }, &mut parameters).expect("sent");
    };
    let bare_counts: Vec<i32> = counts.iter().map(|&count| count as i32).collect();
    let starts: Vec<i32> = (0..size).map(|r| (r.max(1) - 1) as i32 * PARAMETERS as i32).collect();
    let mut received = vec![0.0f32; PARAMETERS * (size - 1)];
    let mut values = vec![0.0f32; PARAMETERS];
    // Never empty: see `MpiComm::gather_bytes`.
    let (bare_mine, nothing) = (vec![rank as f32; PARAMETERS], [0.0f32]);
    let mut bare = || {
        let root = world.process_at_rank(0);
        if rank == 0 {
            let parts = (&bare_counts[..], &starts[..]);
            let mut partition = PartitionMut::new(&mut received[..], parts.0, parts.1);
            root.gather_varcount_into_root(&nothing[..0], &mut partition);
        } else {
            root.gather_varcount_into(&bare_mine[..]);
        }
        root.broadcast_into(&mut values[..]);
    };
    let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
    let start = Instant::now();
    loop {
        let mut go_on = [u8::from(start.elapsed().as_secs_f64() < seconds)];
        world.process_at_rank(0).broadcast_into(&mut go_on[..]);
        if go_on == [0] {
            break;
        }
        world.barrier();
        let since = Instant::now();
        (0..ROUNDS).for_each(|i| ours(i as i64));
        of_ours.push(since.elapsed().as_secs_f64() / ROUNDS as f64 * 1e6);
        world.barrier();
        let since = Instant::now();
        (0..ROUNDS).for_each(|_| bare());
        of_bare.push(since.elapsed().as_secs_f64() / ROUNDS as f64 * 1e6);
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (ours, bare) = (median(&mut of_ours), median(&mut of_bare));
    (rank == 0).then(|| json!({ "value": ours, "bare": bare }))
}
