//! Flags of `dqn-trader completions` and `dqn-trader man`.

use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;

#[derive(Args, Debug, Clone)]
#[command(after_help = "EXAMPLES\n  \
    dqn-trader completions bash > ~/.local/share/bash-completion/completions/dqn-trader\n  \
    dqn-trader completions zsh > \"${fpath[1]}/_dqn-trader\"\n  \
    dqn-trader completions fish > ~/.config/fish/completions/dqn-trader.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Shells for which completions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

#[derive(Args, Debug, Clone)]
#[command(after_help = "EXAMPLES\n  \
    dqn-trader man --output ~/.local/share/man/man1 && man dqn-trader")]
pub(crate) struct ManArgs {
    /// Folder for a page of the program and one of each command [default: the program's page on
    /// standard output]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}
