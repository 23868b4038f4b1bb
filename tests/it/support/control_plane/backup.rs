//! What a control plane's etcd held at a moment, and the way back there: whatever has happened to objects since then has not,
//! as after a restored backup.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{ControlPlane, localcluster, up};
use crate::support::kubelet::Kubelet;
use crate::support::wait::block_until;

/// The folder of etcd's data, beside the kubeconfig.
const DATA: &str = "etcd";
const A_MINUTE: Duration = Duration::from_mins(1);

/// A copy of etcd's data.
#[derive(Debug)]
pub struct Backup(TempDir);

impl ControlPlane {
    /// Copies what etcd has. It is away for that moment.
    pub fn back_up(&self) -> Backup {
        let backup = Backup(TempDir::new().unwrap());
        self.end(&["etcd"]);
        copy(&self.folder().join(DATA), &backup.0.path().join(DATA));
        up(&localcluster(), self.name());
        backup
    }

    /// Puts it back in etcd's place. Everything that reads from etcd starts anew with it, as it has to: versions of objects
    /// that have been are still to come.
    pub fn restore(&self, backup: &Backup) {
        let mut kubelet = self.kubelet.lock().unwrap();
        assert!(kubelet.take().is_some(), "its nodes are played");
        self.end(&["kube-controller-manager", "kube-apiserver", "etcd"]);
        let data = self.folder().join(DATA);
        fs::remove_dir_all(&data).unwrap();
        copy(&backup.0.path().join(DATA), &data);
        up(&localcluster(), self.name());
        *kubelet = Some(Kubelet::start(&self.kubeconfig));
    }

    fn folder(&self) -> &Path {
        self.kubeconfig.parent().unwrap()
    }

    /// Clusters are called as their folders.
    fn name(&self) -> &str {
        self.folder().file_name().unwrap().to_str().unwrap()
    }

    /// Kills those components. What etcd has written outlives it.
    fn end(&self, components: &[&str]) {
        let state = fs::read(self.folder().join("state.json")).unwrap();
        let state: Value = serde_json::from_slice(&state).unwrap();
        for component in components {
            let process = state["pids"][component].as_u64().unwrap();
            let status = Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap();
            assert!(status.success(), "{component} is process {process}");
            block_until(A_MINUTE, "it has ended", || {
                let runs = fs::read_link(format!("/proc/{process}/exe"));
                runs.map_or(Ok(()), |_| Err(format!("{component} runs as process {process}")))
            });
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("--archive").args([from, to]).status().unwrap();
    assert!(status.success());
}
