//! A contender's process, and what the kernel says of it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    client::{Ask, Connection},
    result::Result,
};

/// `USER_HZ`, the unit of times in `/proc`: 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that serves; it is killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    started: Instant,
}

impl Server {
    pub(crate) fn start(mut command: Command, port_by_argument: bool) -> Result<Self> {
        // the kernel's choice of a port that is free now
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let port = address.port().to_string();
        command.env("PORT", &port).stdin(Stdio::null()).stdout(Stdio::null());
        if port_by_argument {
            command.args(["--port", &port]);
        }
        let started = Instant::now();
        Ok(Self { child: command.spawn()?, address, started })
    }

    /// The time from the start of the process to its first 200 to that request.
    pub(crate) async fn first_answer(&self, ask: &Ask) -> Result<Duration> {
        loop {
            let answer = async { Connection::open(self.address).await?.send(ask).await };
            match answer.await {
                Ok(_) => return Ok(self.started.elapsed()),
                Err(error) if self.started.elapsed() > PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    /// User and system time of all its threads so far, in seconds.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // the second field is a name in parentheses, which may hold spaces
        let fields = stat.rsplit_once(')').ok_or("a line of /proc/…/stat")?.1;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<std::result::Result<f64, _>>()? / TICKS_PER_SECOND)
    }

    /// Resident memory now, in MiB.
    pub(crate) fn memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}
