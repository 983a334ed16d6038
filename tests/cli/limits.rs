//! What a container may use, and how that is changed.

use std::fs;

use serde_json::json;

use super::Cli;
use super::common::cgroups_named;

/// What a file of the container's cgroup says, by its names in v1 and v2.
fn says(id: &str, v1: &str, v2: &str) -> String {
    let dirs = cgroups_named(id);
    let texts = dirs.iter().flat_map(|dir| [v1, v2].map(|file| format!("{dir}/{file}")));
    let text = texts.filter_map(|path| fs::read_to_string(path).ok()).next();
    text.unwrap_or_else(|| panic!("no {v1} or {v2} in {dirs:?}")).trim_end().to_owned()
}

#[test]
fn limits_are_changed_by_flags() {
    let cli = Cli::new("exec sleep 100");
    cli.done("run -d cli-flags");
    let memory = || says("cli-flags", "memory.limit_in_bytes", "memory.max");
    cli.done("update --memory 64m --memory-swap 64m cli-flags");
    assert_eq!(memory(), "67108864");
    cli.done("update --memory 256MiB --memory-swap=-1 cli-flags");
    assert_eq!(memory(), "268435456");
    cli.done("update --memory 96m --memory-swap 128m cli-flags");
    assert_eq!(memory(), "100663296");
    cli.done("update cli-flags --pids-limit 17 --cpu-quota 20000 --cpu-period 50000");
    assert_eq!(says("cli-flags", "pids.max", "pids.max"), "17");
    let quota = says("cli-flags", "cpu.cfs_quota_us", "cpu.max");
    assert!(["20000", "20000 50000"].contains(&quota.as_str()), "{quota}");
    cli.done("update --pids-limit -1 --cpu-quota -1 --cpu-share 512 --cpuset-cpus 0 cli-flags");
    assert_eq!(says("cli-flags", "pids.max", "pids.max"), "max");
    assert_eq!(says("cli-flags", "cpuset.cpus", "cpuset.cpus"), "0");
    let weight = says("cli-flags", "cpu.shares", "cpu.weight");
    assert!(["512", "59"].contains(&weight.as_str()), "{weight}");
    cli.done("update --cpu-idle 1 cli-flags");
    assert_eq!(says("cli-flags", "cpu.idle", "cpu.idle"), "1");
    cli.done("update --cpu-idle 0 --cpu-share 1024 cli-flags");
    assert_eq!(says("cli-flags", "cpu.idle", "cpu.idle"), "0");
}

#[test]
fn limits_are_changed_by_what_docker_and_podman_write() {
    let cli = Cli::new("exec sleep 100");
    cli.done("run -d cli-json");
    // As docker 20.10 writes it, zeros and all.
    let docker = json!({
        "memory": { "limit": 67_108_864, "reservation": 0, "swap": 67_108_864, "kernel": 0 },
        "cpu": { "shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0" },
        "pids": { "limit": 77 },
        "blockIO": { "weight": 0 },
    });
    cli.write("docker.json", &docker.to_string());
    let mut command = cli.command("update --resources - cli-json");
    command.stdin(fs::File::open(cli.path("docker.json")).unwrap());
    let said = cli.finish(&mut command);
    assert_eq!((said.status, &*said.err), (0, ""));
    assert_eq!(says("cli-json", "pids.max", "pids.max"), "77");
    cli.write("podman.json", r#"{"pids":{"limit":78},"devices":[{"allow":false,"access":"rwm"}]}"#);
    cli.done("update --resources=podman.json cli-json");
    assert_eq!(says("cli-json", "pids.max", "pids.max"), "78");
    assert_eq!(says("cli-json", "memory.limit_in_bytes", "memory.max"), "67108864");
}

#[test]
fn block_devices_are_limited() {
    let disk = fs::read_dir("/sys/block").unwrap().next().expect("a block device").unwrap();
    let number = fs::read_to_string(disk.path().join("dev")).unwrap().trim().to_owned();
    let (major, minor) = number.split_once(':').unwrap();
    let [major, minor]: [u32; 2] = [major, minor].map(|number| number.parse().unwrap());
    // Only this scheduler has weights under both versions of cgroups.
    let scheduler = fs::read_to_string(disk.path().join("queue/scheduler")).unwrap_or_default();
    let weighs = scheduler.contains("bfq");
    let throttle = |rate| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let cli = Cli::edited("exec sleep 100", |config| {
        config["linux"]["resources"]["blockIO"] =
            json!({ "throttleReadBpsDevice": throttle(1 << 20) });
        if weighs {
            config["linux"]["resources"]["blockIO"]["weight"] = json!(300);
        }
    });
    cli.done("run -d cli-block");
    let throttles = || says("cli-block", "blkio.throttle.read_bps_device", "io.max");
    let weight = || says("cli-block", "blkio.bfq.weight", "io.bfq.weight");
    assert!(!weighs || weight().ends_with("300"));
    assert!(throttles().starts_with(&number) && throttles().contains("1048576"), "{}", throttles());
    if weighs {
        cli.done("update --blkio-weight 500 cli-block");
        assert!(weight().ends_with("500"), "{}", weight());
    }
    let free = json!({ "blockIO": { "throttleReadBpsDevice": throttle(0) } });
    cli.write("free.json", &free.to_string());
    cli.done("update -r free.json cli-block");
    assert_eq!(throttles(), "");
}

#[test]
fn a_container_may_do_without_cgroups() {
    let cli = Cli::edited("exec sleep 100", |config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != "cgroup");
    });
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    cli.done("--cgroup-manager disabled create cli-none");
    assert_eq!(cgroups_named("cli-none"), [""; 0]);
    let pid = cli.state("cli-none")["pid"].to_string();
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap(), own);
    cli.done("start cli-none");
    assert_eq!(cli.done("ps -f json cli-none"), format!("[{pid}]\n"));
    let told = "bring the container's freezer to Frozen: operation not supported\n";
    assert!(cli.say("pause cli-none").err.starts_with(told.trim_end()));
    let said = cli.say("update --pids-limit 5 cli-none");
    let told = "set pids.max: the container has no cgroup of pids: operation not supported\n";
    assert_eq!((said.status, &*said.err), (1, told));
    cli.done("kill cli-none 9");
    cli.await_end("cli-none");
    cli.done("delete cli-none");
    let mut config: serde_json::Value = serde_json::from_str(&cli.read("config.json")).unwrap();
    config["linux"]["resources"]["pids"] = json!({ "limit": 5 });
    cli.write("config.json", &config.to_string());
    let said = cli.say("--cgroup-manager disabled run cli-none");
    assert_eq!(said.err, format!("cofferdam run failed: {told}"));
    config["linux"]["cgroupsPath"] = json!("/somewhere");
    cli.write("config.json", &config.to_string());
    let said = cli.say("--cgroup-manager disabled run cli-none");
    let told = "--cgroup-manager disabled rules out the cgroup /somewhere of config.json\n";
    assert_eq!(said.err, format!("cofferdam run failed: {told}"));
    assert_eq!(cli.done("list -q"), "");
}

#[test]
fn limits_that_are_refused_are_named() {
    let cli = Cli::new("exec sleep 100");
    cli.done("run -d cli-named");
    cli.write("bad.json", r#"{"memory": {"limit": "much"}}"#);
    for (line, expected) in [
        ("--memory much", "invalid value for memory: invalid size: 'much'"),
        ("--memory 12q", "invalid value for memory: invalid size: '12q'"),
        ("--cpu-idle 2", "invalid value for cpu-idle: \"2\""),
        ("--blkio-weight 9", "invalid value for blkio-weight: \"9\""),
        ("--pids-limit x", "invalid value for pids-limit: \"x\""),
        ("--l3-cache-schema L3:0=f", "--l3-cache-schema is not supported"),
        ("--resources - --memory 1g", "--resources and --memory exclude each other"),
        ("--resources nosuch", "open nosuch: no such file or directory"),
        (
            "--resources bad.json",
            "bad.json: /memory/limit: not an integer from -1 to 9223372036854775807",
        ),
        (
            "--memory 64m --memory-swap 32m",
            "invalid configuration: /linux/resources/memory/swap: less than the limit of memory \
             alone",
        ),
    ] {
        let said = cli.say(&format!("update {line} cli-named"));
        assert_eq!((said.status, said.err), (1, format!("{expected}\n")), "{line}");
    }
    let dirs = cgroups_named("cli-named");
    if !dirs.iter().any(|dir| fs::exists(format!("{dir}/memory.max")).unwrap()) {
        // Cgroup v1 refuses what is used already.
        let said = cli.say("update --memory 1k cli-named");
        let told = "unable to set memory limit to 1024 (current usage: ";
        assert!(said.status == 1 && said.err.starts_with(told), "{}", said.err);
    }
    let said = cli.say("update --cpu-quota 1 cli-named");
    assert!(said.err.starts_with("write \"1\" to /sys/fs/cgroup/"), "{}", said.err);
    let refused = ["cpu.cfs_quota_us", "cpu.max"];
    let refused = refused.map(|file| format!("/{file}: invalid argument\n"));
    assert!(refused.iter().any(|end| said.err.ends_with(end)), "{}", said.err);
    cli.done("kill cli-named 9");
    cli.await_end("cli-named");
    assert_eq!(cli.say("update --memory 1g cli-named").err, "container not running\n");
}
