//! Devices on a network of their own: two network namespaces with a cable between them, which needs root.

use std::process::{Command, Output};

use crate::support::daemon::{BINARY, Home};
use crate::support::eventually;

/// A house with the daemon in one namespace and a device in the other; both go when it is dropped.
struct House {
    server: String,
    device: String,
}

fn ip(arguments: &str) -> Option<Output> {
    Command::new("ip").args(arguments.split_ascii_whitespace()).output().ok()
}

impl House {
    /// `None` where namespaces can't be made, or the programs that the device runs are missing.
    fn build() -> Option<Self> {
        for program in ["dig", "curl"] {
            Command::new(program).arg("-h").output().ok()?;
        }
        let number = std::process::id();
        let house = Self { server: format!("pxs{number}"), device: format!("pxd{number}") };
        let (server, device) = (&house.server, &house.device);
        for arguments in [
            format!("netns add {server}"),
            format!("netns add {device}"),
            format!("link add eth0 netns {server} type veth peer name eth0 netns {device}"),
            format!("-n {server} addr add 10.77.0.1/24 dev eth0"),
            format!("-n {server} addr add 2001:db8:77::1/64 dev eth0 nodad"),
            format!("-n {device} addr add 10.77.0.9/24 dev eth0"),
            format!("-n {device} addr add 2001:db8:77::9/64 dev eth0 nodad"),
            format!("-n {server} link set lo up"),
            format!("-n {server} link set eth0 up"),
            format!("-n {device} link set eth0 up"),
        ] {
            if !ip(&arguments).is_some_and(|output| output.status.success()) {
                return None;
            }
        }
        Some(house)
    }

    /// Runs a command in the namespace of the device.
    fn device_runs(&self, command: &[&str]) -> String {
        let output = Command::new("ip").args(["netns", "exec", &self.device]).args(command).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.server));
        ip(&format!("netns del {}", self.device));
    }
}

#[test]
fn all_addresses_of_a_device_are_one_device_from_its_first_question_on() {
    let Some(house) = House::build() else {
        assert!(std::env::var_os("CI").is_none(), "root, ip, dig and curl are needed");
        eprintln!("not tested: it needs root, ip, dig and curl");
        return;
    };
    let home = Home::new();
    let config = format!(
        "data_dir = \"{}\"\ndns.listen = [\"0.0.0.0:53\", \"[::]:53\"]\nweb.listen = [\"10.77.0.1:80\"]\n\
         upstream.servers = [\"udp://10.77.0.9\"]\nrules.block = [\"pixel.example\"]\n",
        home.path().join("data").display()
    );
    std::fs::write(home.config(), config).unwrap();
    let mut daemon = Command::new("ip")
        .args(["netns", "exec", &house.server, BINARY, "run", "--config"])
        .arg(home.config())
        .spawn()
        .unwrap();
    let devices = || home.run(&["status", "--output", "json"]).status.success().then_some(());
    eventually("the daemon answers its socket", devices);
    for (server, source) in [("10.77.0.1", "10.77.0.9"), ("2001:db8:77::1", "2001:db8:77::9")] {
        // The address of the network is a public one: only `local` lets it in.
        let answer = house.device_runs(&[
            "dig",
            &format!("@{server}"),
            "-b",
            source,
            "t.pixel.example",
            "+short",
            "+tries=3",
        ]);
        assert_eq!(answer.trim(), "0.0.0.0", "{server}");
    }
    let known = eventually("both questions are remembered", || {
        let page = house.device_runs(&["curl", "-s", "http://10.77.0.1/api/v1/devices"]);
        let devices: serde_json::Value = serde_json::from_str(&page).ok()?;
        let total: u64 = devices.as_array()?.iter().filter_map(|device| device["queries"].as_u64()).sum();
        (total == 2).then_some(devices)
    });
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let known = known.as_array().unwrap();
    assert_eq!(known.len(), 1, "{known:?}");
    assert_eq!(known[0]["addresses"], serde_json::json!(["10.77.0.9", "2001:db8:77::9"]));
    assert_eq!(known[0]["device"]["key"].as_str().unwrap().len(), 17, "it is known by its MAC");
}
