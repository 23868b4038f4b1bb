//! The process's surroundings, read once at the edge: variables, the clock and which streams are terminals.

use std::io::IsTerminal;
use std::path::PathBuf;

use k8s_openapi::jiff::Timestamp;

/// What a command may know of the process it runs in.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Files named by KUBECONFIG, in order; `~/.kube/config` if it is not set.
    pub kubeconfig: Vec<PathBuf>,
    /// Hosts that are reached without the proxy of HTTPS_PROXY: NO_PROXY.
    pub no_proxy: String,
    /// Whether stdin is a terminal, so that a question can be asked.
    pub stdin_terminal: bool,
    /// Whether stderr is a terminal that can show progress.
    pub stderr_terminal: bool,
    /// Whether stdout is a terminal that can show colours, and nobody asked for none (NO_COLOR).
    pub stdout_colours: bool,
    /// When the process began: ages are counted to it.
    pub now: Timestamp,
}

impl Environment {
    /// Reads the process's environment.
    pub fn read() -> Self {
        let listed = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
        let kubeconfig = match listed {
            Some(list) => std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect(),
        };
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            kubeconfig,
            no_proxy: ["NO_PROXY", "no_proxy"]
                .iter()
                .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
                .map(|value| value.to_string_lossy().into_owned())
                .unwrap_or_default(),
            stdin_terminal: std::io::stdin().is_terminal(),
            stderr_terminal: std::io::stderr().is_terminal() && !dumb,
            stdout_colours: std::io::stdout().is_terminal() && !dumb && !plain,
            now: Timestamp::now(),
        }
    }
}
