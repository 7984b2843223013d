use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::config::NetworkConfig;
use crate::rl::engine::{MinibatchInputs, MinibatchValues, NetworkRole};

fn shape(engine: EngineKind) -> NetworkShape {
    NetworkShape {
        stocks: 3,
        features: 5,
        actions: 3,
        config: NetworkConfig { engine, ..NetworkConfig::default() },
        peers: vec![vec![1, 2], vec![2, 0], vec![0, 1]],
    }
}

fn weights(seed: u64) -> Vec<f32> {
    shape(EngineKind::Native).initial_weights(&mut ChaCha8Rng::seed_from_u64(seed))
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (0.7 * i as f32).sin()).collect()
}

fn q(engine: &dyn Engine) -> Vec<f32> {
    let mut q = Vec::new();
    engine.values(&[0, 1, 2], &values(4 * 15), &mut q);
    q
}

/// The setting selects the engine; their results differ only by rounding.
#[test]
fn the_setting_says_who_computes() {
    let [native, torch] = [EngineKind::Native, EngineKind::Torch].map(|kind| {
        let mut engine = engine(&shape(kind), &weights(1), Device::Cpu).unwrap();
        let before = q(&*engine);
        engine.load(NetworkRole::Online, &weights(2));
        assert_ne!(q(&*engine), before);
        engine.load(NetworkRole::Target, &weights(3));
        engine.load(NetworkRole::Online, &weights(1));
        assert_eq!(q(&*engine), before);
        before
    });
    assert_ne!(native, torch, "sums in another order");
    assert!(native.iter().zip(&torch).all(|(x, y)| (x - y).abs() < 1e-6));
}

/// A panic in the loss reaches the caller as without libtorch, and the engine can be used
/// afterwards.
#[test]
fn a_loss_that_panics_does_so_with_either_engine() {
    for kind in [EngineKind::Native, EngineKind::Torch] {
        let engine = engine(&shape(kind), &weights(1), Device::Cpu).unwrap();
        let market = values(3 * 15);
        let seen = MinibatchInputs { market: &market, learned: 2 };
        let mut gradient = vec![0.0; weights(1).len()];
        let mut on_values = |values: &MinibatchValues, _: &mut Vec<f32>| {
            assert!(values.online.len() == 9 && values.target.len() == 9);
            panic!("no loss of this");
        };
        let learn = || engine.learn(&[0, 1, 2], &seen, &mut on_values, &mut gradient);
        let panic = catch_unwind(AssertUnwindSafe(learn)).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"no loss of this"), "{kind:?}");
        assert!(q(&*engine).iter().all(|q| q.is_finite()));
    }
}

#[test]
fn a_layer_that_only_libtorch_has_is_named() {
    let name = String::from("gate.0.weight");
    let error = EngineError::Unknown(name).to_string();
    assert!(error.contains("gate.0.weight") && error.contains("network.engine=torch"), "{error}");
}

/// An error of libtorch becomes an error of this program, with libtorch's message.
#[test]
fn what_libtorch_refuses_is_said() {
    let error = TorchEngine::new(&shape(EngineKind::Torch), &weights(1)[1..], Device::Cpu);
    let text = error.err().expect("a weight is missing").to_string();
    assert!(text.contains("weights of the network"), "{text}");
}
