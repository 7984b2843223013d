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
    // Whoever closed the pipe does not want the rest.
    let _ = std::io::stdout().write_all(&text);
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
