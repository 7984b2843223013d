//! Completions, as a shell asks for them.

use std::process::Command;

use crate::program::{Place, run};

/// What bash offers after `words`, the last of which is not whole yet.
fn offered(place: &Place, words: &[&str]) -> Vec<String> {
    let (last, all) = (words.len(), ["dqn-trader"].iter().chain(words).copied());
    let all: Vec<&str> = all.collect();
    let script = format!(
        "source {}; function=$(complete -p dqn-trader | sed 's/.* -F \\([^ ]*\\).*/\\1/'); \
         COMP_WORDS=({}); COMP_CWORD={last}; $function dqn-trader '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
        place.path("completions").display(),
        all.join(" "),
        all[last],
        all[last - 1],
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.split_whitespace().map(String::from).collect()
}

#[test]
fn bash_completes_commands_and_their_flags() {
    let place = Place::new();
    let output = run(&mut place.program(&["completions", "bash"]));
    std::fs::write(place.path("completions"), output.stdout).unwrap();
    assert_eq!(offered(&place, &["eval"]), ["evaluate"]);
    assert_eq!(offered(&place, &["--epi"]), ["--episodes"]);
    assert_eq!(offered(&place, &["trade", "--mod"]), ["--model"]);
    assert_eq!(offered(&place, &["strategies", "ru"]), ["run"]);
    let flags = offered(&place, &["strategies", "run", "--ens"]);
    assert_eq!(flags, ["--ensemble"]);
}
