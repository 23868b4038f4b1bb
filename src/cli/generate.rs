//! `tenantry generate`: every generated file of the repository, from the same code that is installed and run.
//!
//! A test regenerates them and compares; `--check` does the same from the command line.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::Shell;

use super::{Exit, Failure, Session, completion, reference, yaml};
use crate::api;

/// Flags of `generate`.
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// Directory that gets crds/, completions/ and docs/reference/
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Write nothing; fail if a file is not what it would be
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &GenerateArgs, session: &mut Session) -> Result<Exit, Failure> {
    let mut stale = Vec::new();
    for (path, content) in files()? {
        let place = args.out.join(&path);
        let current = fs::read_to_string(&place).ok();
        if current.as_deref() == Some(&*content) {
            continue;
        }
        if args.check {
            stale.push(path.display().to_string());
        } else {
            save(&place, &content)?;
            session.output.line(&format!("{} written", path.display()))?;
        }
    }
    if stale.is_empty() {
        return Ok(Exit::Success);
    }
    Err(Failure::new(format_args!("not fresh: {}", stale.join(", "))).hint("run make generate"))
}

/// Every generated file: its path in the repository and its content.
fn files() -> Result<Vec<(PathBuf, String)>, Failure> {
    let mut files = Vec::new();
    for crd in api::crds() {
        let value = serde_json::to_value(&crd)
            .map_err(|error| Failure::from_error("failed to serialise a CRD", &error))?;
        files.push((PathBuf::from(format!("crds/{}.yaml", crd.spec.names.plural)), yaml::document(&value)));
    }
    for (shell, name) in
        [(Shell::Bash, "tenantry.bash"), (Shell::Zsh, "_tenantry"), (Shell::Fish, "tenantry.fish")]
    {
        files.push((Path::new("completions").join(name), completion::script(shell)));
    }
    files.push((PathBuf::from("docs/reference/cli.md"), reference::markdown()));
    Ok(files)
}

fn save(place: &Path, content: &str) -> Result<(), Failure> {
    let directory = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(place, content))
        .map_err(|error| Failure::from_error(format_args!("failed to write {}", place.display()), &error))
}
