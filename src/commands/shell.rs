//! Completions and manual pages, from the same description of the flags as `--help`.

use std::io::Write;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::{Cli, CompletionsArgs, ManArgs, Shell};

/// Writes the completions of a shell on standard output.
pub(crate) fn completions(args: &CompletionsArgs) {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dqn-trader", &mut text);
    if let Shell::Bash = args.shell {
        text = with_one_name(&text);
    }
    // Whoever closed the pipe does not want the rest.
    let _ = std::io::stdout().write_all(&text);
}

/// The script for bash sets `dqn__trader` as the name of this program and then asks for
/// `dqn__subcmd__trader`, so that nothing would be completed after a command's name (clap_complete
/// 4.6 takes the hyphen for a space).
fn with_one_name(script: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(script).replace("dqn__subcmd__trader", "dqn__trader").into_bytes()
}

/// Writes manual pages.
///
/// Errors: the folder cannot be made or written.
pub(crate) fn man(args: &ManArgs) -> Result<()> {
    let program = Cli::command();
    let Some(folder) = &args.output else {
        let mut page = Vec::new();
        Man::new(program).render(&mut page)?;
        let _ = std::io::stdout().write_all(&page);
        return Ok(());
    };
    let failed = || format!("{}: cannot be written; choose another --output", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    clap_mangen::generate_to(program, folder).with_context(failed)
}
