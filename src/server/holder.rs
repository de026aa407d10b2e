//! Which program holds a port, as far as /proc tells it to us.

use std::fs;
use std::path::Path;

/// Names the program that holds `port`, for people: `dnsmasq (process 412)`. `None` where it can't be told.
pub fn of(port: u16, transport: &str) -> Option<String> {
    let inodes: Vec<String> = ["", "6"]
        .iter()
        .filter_map(|family| fs::read_to_string(format!("/proc/net/{transport}{family}")).ok())
        .flat_map(|table| inodes(&table, port, transport))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.map(|process| process.path()).find_map(|process| {
        let pid = process.file_name()?.to_str()?.parse::<u32>().ok()?;
        holds(&process, &inodes).then(|| {
            if pid == std::process::id() {
                return "this pixelsink itself, on an address that covers this one,".to_owned();
            }
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            format!("{} (process {pid})", name.trim())
        })
    })
}

/// The inodes of the sockets that are bound to `port` (the columns of /proc/net/udp and tcp: proc(5)).
fn inodes(table: &str, port: u16, transport: &str) -> Vec<String> {
    const TCP_LISTEN: &str = "0A";
    let bound = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let local = columns.get(1)?.rsplit(':').next()?;
        let listens = transport != "tcp" || *columns.get(3)? == TCP_LISTEN;
        let same = u16::from_str_radix(local, 16) == Ok(port) && listens;
        same.then(|| columns.get(9).map(|&inode| inode.to_owned())).flatten()
    };
    table.lines().skip(1).filter_map(bound).collect()
}

fn holds(process: &Path, inodes: &[String]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files.flatten().filter_map(|file| fs::read_link(file.path()).ok()).any(|target| {
        let socket = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
        socket.is_some_and(|inode| inodes.iter().any(|known| known == inode))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_holds_a_port_is_named() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(of(port, "udp").unwrap(), "this pixelsink itself, on an address that covers this one,");
        drop(socket);
        assert_eq!(of(port, "udp"), None);
    }
}
