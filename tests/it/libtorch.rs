//! libtorch: where it is used, where it costs nothing, and the errors if it is missing.

use std::process::{Command, Output};

use crate::program::{Place, run, short, succeed};

const LIBRARY: &str = "DQN_TRADER_TORCH_LIBRARY";

/// Two stocks, one episode, a few gradient steps.
fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut args = short(&["--episodes", "1", "--quiet", "--lanes", "6", "--stocks", "A", "B"]);
    args.extend(["--set", "learner.learning_starts=64", "--batch-size", "32"]);
    args.extend(["--set", "network.embedding=16", "--set", "network.trunk=32"]);
    args.extend(more);
    args
}

/// The error line of a run that must fail.
fn refused(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

#[test]
fn who_does_not_use_it_does_not_load_it() {
    let place = Place::new();
    for args in [&["--version"][..], &["--help"], &["strategies", "list"]] {
        succeed(place.program(args).env(LIBRARY, "/nowhere"));
    }
    let linked = run(Command::new("ldd").arg(place.program(&[]).get_program()));
    let linked = String::from_utf8(linked.stdout).unwrap();
    assert!(linked.contains("libc.so") && !linked.contains("torch"), "{linked}");
}

/// Of several ranks only the first loads the library, to write the policy.
#[test]
fn worker_ranks_do_without_it() {
    let place = Place::new();
    let program = place.program(&[]).get_program().to_string_lossy().into_owned();
    let script = format!("[ $OMPI_COMM_WORLD_RANK = 0 ] || export {LIBRARY}=/no; {program} \"$@\"");
    let ranks = place.mpirun(2, &[]);
    let envs: Vec<_> = ranks.get_envs().filter_map(|(key, value)| Some((key, value?))).collect();
    let mut command = Command::new("mpirun");
    command.envs(envs).args(["--quiet", "-n", "2", "bash", "-c", &script, "rank"]);
    command.args(args(&["--mode", "parallel"])).current_dir(place.path(""));
    succeed(&mut command);
    assert!(place.path("results/policy.pt").exists());
}

#[test]
fn a_library_that_is_missing_or_another_is_one_line() {
    let place = Place::new();
    let nowhere = place.path("nowhere.so");
    let line = refused(&run(place.program(&args(&[])).env(LIBRARY, &nowhere)));
    assert!(line.contains("nowhere.so: no such file"), "{line}");
    assert!(!place.path("results").join("config.toml").exists());

    std::fs::write(place.path("text.so"), "no library").unwrap();
    let line = refused(&run(place.program(&args(&[])).env(LIBRARY, place.path("text.so"))));
    assert!(line.contains("cannot be opened") && line.contains("cargo build --release"), "{line}");

    let source = "unsigned long long table[64] = {7};
        unsigned long long *dqn_trader_torch_table(void) { return table; }";
    for (name, source) in [("old.so", source), ("other.so", "int other = 1;")] {
        std::fs::write(place.path("old.c"), source).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).args([place.path(name), place.path("old.c")]);
        succeed(&mut compiler);
        let torch = args(&["--set", "network.engine=torch"]);
        let line = refused(&run(place.program(&torch).env(LIBRARY, place.path(name))));
        assert!(line.contains("another version") && line.contains("cargo build"), "{line}");
    }
}

/// With either engine any number of ranks gives the same bytes, and the settings record the engine.
#[test]
fn training_with_libtorch_is_the_same_for_any_number_of_ranks() {
    let place = Place::new();
    let torch = ["--set", "network.engine=torch", "--output"];
    let single = args(&[&torch[..], &["one", "--threads", "2"]].concat());
    succeed(&mut place.program(&single));
    for ranks in [2, 3] {
        let output = format!("ranks{ranks}");
        let parallel = args(&[&torch[..], &[&output, "--mode", "parallel"]].concat());
        succeed(&mut place.mpirun(ranks, &parallel));
        for file in ["trained_model.pth", "policy.pt", "relationships.csv", "portfolio_ep1.csv"] {
            let same =
                place.read(&format!("one/{file}")) == place.read(&format!("{output}/{file}"));
            assert!(same, "{file} differs with {ranks} ranks");
        }
    }
    assert!(place.text("one/config.toml").contains("engine = \"torch\""));
    succeed(&mut place.program(&args(&["--output", "native"])));
    assert!(!place.text("native/config.toml").contains("engine"));
    assert_ne!(place.read("native/trained_model.pth"), place.read("one/trained_model.pth"));

    let line = refused(&run(&mut place.program(&args(&["--set", "network.engine=abacus"]))));
    assert!(line.contains("abacus") && line.contains("native"), "{line}");
}
