//! Loads configurations on a thread of its own: a file on a mount whose server is gone blocks it, while signals are handled and
//! records are delivered.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use tokio::sync::oneshot;

use super::explain;
use super::reload::{Prepared, Requests};
use crate::config::Settings;
use crate::delivery::EventLoop;
use crate::help::{Causes, Problem};
use crate::logging::events;
use crate::process::signals::{OnRequest, Request, Signals};

/// What a configuration is loaded from.
#[derive(Debug, Clone)]
pub(super) struct Loader {
    pub(super) config: PathBuf,
    pub(super) models: Option<PathBuf>,
}

impl Loader {
    /// The configuration with its networks, and the files of the broker that cannot be read now.
    fn load(&self) -> anyhow::Result<(Prepared, Vec<Problem>)> {
        let settings = Settings::load(&self.config)?;
        let unreadable = settings.unreadable_files();
        Ok((Prepared::new(settings, self.models.as_deref())?, unreadable))
    }

    /// The configuration to start with; none when SIGTERM or SIGINT came first. Files that are missing may come later.
    ///
    /// # Errors
    /// When it is wrong, or a network cannot be loaded.
    pub(super) fn start(
        &self,
        event_loop: &EventLoop,
        signals: &mut Signals,
    ) -> anyhow::Result<Option<Prepared>> {
        loop {
            let (sender, mut loaded) = oneshot::channel();
            let loader = self.clone();
            // The receiver is gone after a stop.
            spawn(move || drop(sender.send(loader.load()))).context("no thread")?;
            let mut again = false;
            let loaded = event_loop.block_on(async {
                loop {
                    tokio::select! {
                        loaded = &mut loaded => return Some(loaded),
                        request = signals.next() => match request {
                            Request::Stop => return None,
                            Request::Reload => again = true,
                        },
                    }
                }
            });
            let Some(loaded) = loaded else { return Ok(None) };
            if again {
                continue;
            }
            let (prepared, unreadable) = loaded.context("loading the configuration panicked")??;
            for problem in unreadable {
                log::warn!("{}; looked for again at each connection", Causes(&problem));
            }
            return Ok(Some(prepared));
        }
    }

    /// SIGTERM and SIGINT end the watch. On SIGHUP the new configuration and its networks are loaded, so that the watch misses no
    /// frame; if that succeeds, the watch thread tries the camera.
    pub(super) fn on_request(self, requests: Requests) -> OnRequest {
        // Reloads that were requested since the thread began; without one there is no thread.
        let pending = Arc::new(AtomicU32::new(0));
        Box::new(move |request| match request {
            Request::Stop => {
                log::info!("asked to stop: publishing the open window, then leaving");
                requests.stop();
            }
            Request::Reload if pending.fetch_add(1, Ordering::AcqRel) > 0 => {
                log::warn!("the configuration is still being read; it will be read once more");
            }
            Request::Reload => {
                let (loader, requests, in_thread) = (self.clone(), requests.clone(), Arc::clone(&pending));
                let spawned = spawn(move || {
                    loop {
                        let begun = in_thread.load(Ordering::Acquire);
                        loader.try_out(&requests);
                        if in_thread.compare_exchange(begun, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                            return;
                        }
                    }
                });
                if let Err(error) = spawned {
                    pending.store(0, Ordering::Release);
                    events::reload_refused(&format!("no thread to read the configuration: {error}"));
                }
            }
        })
    }

    /// Loads a changed configuration. One whose files are missing is refused, because the old one works.
    fn try_out(&self, requests: &Requests) {
        let candidate = self.load().and_then(|(prepared, unreadable)| match unreadable.into_iter().next() {
            Some(problem) => Err(problem.into()),
            None => Ok(prepared),
        });
        match candidate {
            Ok(candidate) => requests.try_out(candidate),
            Err(error) => explain::lines(&error).iter().for_each(|line| events::reload_refused(line)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a file that cannot be read must block nothing else")]
fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("load".to_owned()).spawn(work).map(|_| ())
}
