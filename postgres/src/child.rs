//! The PostgreSQL process: started so that it can't outlive us, with a thread that waits for it.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

/// A process, and how it ended once it has.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    status: watch::Receiver<Option<String>>,
}

impl Child {
    /// Starts `command` in a process group of its own, so that a Ctrl-C at the terminal reaches only us and the
    /// database answers until we have finished.
    ///
    /// On Linux the kernel sends the process SIGINT (a fast shutdown) when the *thread* that forked it ends. So a
    /// thread does that which then waits for the process and does nothing else, and never one of tokio's, which come
    /// and go. Elsewhere the next start finds and stops what a killed server left behind.
    pub(crate) fn spawn(mut command: Command) -> io::Result<Self> {
        command.process_group(0);
        die_with_parent(&mut command);
        let (status_sender, status) = watch::channel(None);
        let (started, start) = mpsc::channel();
        thread::Builder::new()
            .name("postgres-parent".into())
            .spawn(move || {
                let mut process = match command.spawn() {
                    Ok(process) => process,
                    Err(error) => {
                        // The receiver waits for exactly one message, below.
                        let _ = started.send(Err(error));
                        return;
                    }
                };
                let _ = started.send(Ok(process.id()));
                let how = match process.wait() {
                    Ok(status) => status.to_string(),
                    Err(error) => format!("how is not known: {error}"),
                };
                status_sender.send_replace(Some(how));
            })?;
        let id = start.recv().map_err(io::Error::other)??;
        let pid = Pid::from_raw(i32::try_from(id).map_err(io::Error::other)?);
        Ok(Self { pid, status })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for the end of the process and says how it ended.
    pub(crate) async fn exited(&self) -> String {
        let mut status = self.status.clone();
        match status.wait_for(Option::is_some).await {
            Ok(how) => how.clone().unwrap_or_default(),
            // The thread sends before it ends, unless it panicked.
            Err(_) => "how is not known".into(),
        }
    }

    /// Sends a signal, unless the process has ended, for then its number may be another's.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.status.borrow().is_none() {
            // It can only fail because the process has just ended.
            let _ = kill(self.pid, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::SIGINT);
    }
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "std calls what runs between fork and exec unsafe; asking for the death signal has to happen there"
)]
fn die_with_parent(command: &mut Command) {
    use nix::unistd::getppid;
    let parent = nix::unistd::getpid();
    // SAFETY: the closure makes two system calls and nothing else: no allocation, no lock.
    // It runs after the change of user, which would otherwise clear the setting.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGINT)?;
            // The parent may have died before the setting took effect.
            if getppid() == parent {
                Ok(())
            } else {
                Err(io::ErrorKind::NotConnected.into())
            }
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
