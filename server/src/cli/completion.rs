//! `ipam completion`: what makes a shell complete the words of `ipam`.

use clap_complete::env::Shells;

use super::output::Failure;

/// The variable by which the shell's functions ask for the words that may follow.
pub const VARIABLE: &str = "IPAM_COMPLETE";

/// Print what makes a shell complete commands, options, and names that the server has
///
/// For bash: echo 'source <(ipam completion bash)' >> ~/.bashrc
///
/// For zsh: echo 'source <(ipam completion zsh)' >> ~/.zshrc, below compinit
///
/// For fish: ipam completion fish > ~/.config/fish/completions/ipam.fish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Completion {
    /// The shell
    #[arg(value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

impl Completion {
    /// What to print.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn run(&self) -> Result<String, Failure> {
        let failed = |why: String| Failure::Refused(format!("cannot write the functions: {why}"));
        let shells = Shells::builtins();
        let shell = shells
            .completer(&self.shell)
            .ok_or_else(|| failed(format!("there are none for {}", self.shell)))?;
        let mut text = Vec::new();
        shell
            .write_registration(VARIABLE, "ipam", "ipam", "ipam", &mut text)
            .map_err(|error| failed(error.to_string()))?;
        String::from_utf8(text).map_err(|error| failed(error.to_string()))
    }
}
