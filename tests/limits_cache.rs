//! `page_cache_high`: a job that moves gigabytes through files does not look as if it used all its memory, and ends well.

mod support;

use support::host::{Host, check_all};
use support::units::shell;

/// Of lines that the job of the story writes; tests/soak has all twenty million.
fn lines() -> u64 {
    std::env::var("SAMPAN_LINES").map_or(400_000, |lines| lines.parse().expect("a number"))
}

const M: u64 = 1 << 20;

#[test]
fn page_cache_stays_below_its_limit() {
    let host = Host::with_controllers(&["hello"]);
    check_all(
        &host,
        &[
            ("a job writes a file of many lines", a_job_writes_a_file_of_many_lines),
            ("without it the job looks full", without_it_the_job_looks_full),
            ("private memory has its room", private_memory_has_its_room),
            ("the limit changes while it runs", the_limit_changes_while_it_runs),
        ],
    );
}

/// Writes lines into one file, and tells at each tenth of them how much page cache it is charged with.
fn job() -> String {
    let tell =
        "awk '/^file / { file = $2 } /^shmem / { print \"cache\", file - $2 }' /sys/fs/cgroup/memory.stat";
    let part = lines() / 10;
    format!(
        "for i in 0 1 2 3 4 5 6 7 8 9; do
            awk -v from=$((i * {part})) -v count={part} \
                'BEGIN {{ while (count--) print from++ \";a customer;an article;a price;2026-11-22T03:00:00Z;a note\" }}' >>/result
            {tell}
        done
        wc -l </result; cat /sys/fs/cgroup/memory.current"
    )
}

/// Runs the job to its end; the page cache that it told of, and its last two lines.
fn run_job(host: &Host, unit: &str, keys: &str) -> (Vec<u64>, u64, u64) {
    let resources = format!("type = \"oneshot\"\n[resources]\nmemory_max = \"24M\"\n{keys}");
    host.unit(&format!("{unit}.container"), &(shell(&job()) + &resources));
    host.succeed(&["sampanctl", "start", unit]);
    assert_eq!(["Result", "OOMKills"].map(|name| host.property(unit, name)), ["success", "0"]);
    let said = host.succeed(&[
        "journalctl",
        "--output=cat",
        &format!("--unit=sampan-{unit}.scope"),
        "_TRANSPORT=stdout",
    ]);
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_else(|_| panic!("{said}"));
    let cache: Vec<u64> = said.lines().filter_map(|line| line.strip_prefix("cache ")).map(number).collect();
    let last: Vec<u64> =
        said.lines().filter(|line| line.bytes().all(|byte| byte.is_ascii_digit())).map(number).collect();
    assert_eq!((cache.len(), last.len()), (10, 2), "{said}");
    (cache, last[0], last[1])
}

fn a_job_writes_a_file_of_many_lines(host: &Host) {
    let (cache, written, current) = run_job(host, "etl", "page_cache_high = \"8M\"\n");
    assert_eq!(written, lines());
    assert!(cache.iter().all(|cache| *cache <= 8 * M), "{cache:?}");
    assert!(current < 14 * M, "{current}");
}

fn without_it_the_job_looks_full(host: &Host) {
    let (cache, written, current) = run_job(host, "full", "");
    assert_eq!(written, lines());
    assert!(cache.iter().any(|cache| *cache > 16 * M) && current > 20 * M, "{cache:?} {current}");
}

/// More private memory than page cache may be: nothing slows it, and it is not given back.
fn private_memory_has_its_room(host: &Host) {
    let script = "dd if=/dev/zero of=/file bs=1M count=32 2>/dev/null
        dd if=/dev/zero bs=24M count=1 2>/dev/null | (sleep 1000; cat) &
        while ! awk '/^anon / { exit $2 < 24000000 }' /sys/fs/cgroup/memory.stat; do usleep 100000; done
        echo has it
        while ! cat /sys/fs/cgroup/memory.high | awk '{ exit $1 < 25000000 }'; do usleep 100000; done
        echo has room; exec sleep 1000";
    let keys = "[resources]\nmemory_max = \"64M\"\npage_cache_high = \"8M\"\n";
    host.unit("private.container", &(shell(script) + keys));
    host.succeed(&["sampanctl", "start", "private"]);
    host.wait_log("private", "has room");
    host.succeed(&["sampanctl", "stop", "private"]);
}

fn the_limit_changes_while_it_runs(host: &Host) {
    let script = "dd if=/dev/zero of=/file bs=1M count=32 2>/dev/null; echo written
        while awk '/^file / { exit $2 < 4194304 }' /sys/fs/cgroup/memory.stat; do usleep 100000; done
        echo given back; exec sleep 1000";
    host.unit("later.container", &(shell(script) + "[resources]\nmemory_max = \"64M\"\n"));
    host.succeed(&["sampanctl", "start", "later"]);
    host.wait_log("later", "written");
    host.succeed(&["sampanctl", "set-property", "later", "page_cache_high=4M"]);
    host.wait_log("later", "given back");
    assert_eq!(host.property("later", "PageCacheHigh"), (4 * M).to_string());
    host.succeed(&["sampanctl", "set-property", "later", "page_cache_high=infinity"]);
    let file = format!("/sys/fs/cgroup{}/memory.high", host.property("later", "ControlGroup"));
    host.wait_until("no limit", |host| host.succeed(&["cat", &file]) == "max\n");
    host.succeed(&["sampanctl", "stop", "later"]);
}
