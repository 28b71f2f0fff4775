//! `trim`, `snapshot`, `bench`: what looks after a log.

use crate::kit::{Place, feed, wakelog};

/// Some segments of 16 KiB.
fn long_log() -> Place {
    let place = Place::new();
    let lines: String = (0..2_000)
        .map(|number| format!("line {number}\n"))
        .collect();
    place.append(&["--segment-bytes", "16384"], lines.as_bytes());
    place
}

fn json(answer: &crate::kit::Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.out).unwrap()
}

#[test]
fn trim_lets_whole_segments_go() {
    let place = long_log();
    let trimmed = json(&place.run("trim", &["--before", "1000", "--json"]).good());
    let first = trimmed["first"].as_u64().unwrap();
    assert!(0 < first && first <= 1_000, "{trimmed}");
    assert_eq!(trimmed["events"], first);
    assert!(trimmed["bytes"].as_u64().unwrap() > 0);
    let answer = place.run("cat", &["--raw", "--count", "1"]).good();
    assert_eq!(answer.text(), format!("line {first}\n"));

    // Who begins below it is told, and it is no damage.
    let answer = place.run("cat", &["--raw", "--from", "0", "--count", "1"]);
    assert_eq!(
        (answer.code, answer.text()),
        (0, format!("line {first}\n").as_str())
    );
    assert!(
        answer
            .err
            .contains(&format!("events 0..{first} were trimmed")),
        "{}",
        answer.err
    );
    let answer = place
        .run("cat", &["--json", "--from", "0", "--count", "1"])
        .good();
    let gap = answer.text().lines().next().unwrap();
    assert_eq!(
        gap,
        format!("{{\"gap\":{{\"from\":0,\"to\":{first},\"reason\":\"trimmed\"}}}}")
    );
    assert_eq!(answer.text().lines().count(), 2);

    let again = place.run("trim", &["--before", "1000"]).good();
    assert!(
        again.text().starts_with("0 events trimmed"),
        "{}",
        again.text()
    );
    place
        .run("trim", &["--before", "9999"])
        .refused(1, &["beyond the end"]);
    Place::new()
        .run("trim", &["--before", "0"])
        .refused(3, &["there is no log"]);
    let log = wakelog::Log::open(place.log()).unwrap();
    place
        .run("trim", &["--before", "1500"])
        .refused(3, &["open for writing elsewhere"]);
    drop(log);
}

#[test]
fn trim_keeps_all_that_is_not_before_a_time() {
    let place = long_log();
    let log = wakelog::Options::new()
        .segment_bytes(16_384)
        .open(place.log());
    let log = log.unwrap();
    // The clock of the log has microseconds.
    std::thread::sleep(std::time::Duration::from_millis(2));
    let first = log.append("$all", "the first behind the time").unwrap();
    for number in 0..2_000 {
        log.append("$all", format!("to all {number}")).unwrap();
    }
    log.close().unwrap();
    let words = ["--topics", "$all", "--json", "--count", "1"];
    let shown = json(&place.run("cat", &words).good());
    assert_eq!(shown["offset"], first);
    let time = shown["time"].as_str().unwrap();

    let trimmed = json(&place.run("trim", &["--before", time, "--json"]).good());
    assert_eq!(trimmed["before"], first);
    let kept = trimmed["first"].as_u64().unwrap();
    assert!(0 < kept && kept <= first, "{trimmed}");
    let words = ["--topics", "$all", "--raw", "--from", time];
    let kept = place.run("cat", &words).good();
    assert_eq!(kept.text().lines().count(), 2_001);
    assert!(kept.text().starts_with("the first behind the time\n"));

    place
        .run("trim", &["--before", "last-per-topic"])
        .refused(2, &["last-per-topic is many places"]);
}

#[test]
fn a_snapshot_is_a_log() {
    let place = long_log();
    let to = place.beside("copy");
    let to = to.to_str().unwrap();
    let log = wakelog::Log::open(place.log()).unwrap();
    let copied = json(&place.run("snapshot", &[to, "--json"]).good());
    assert_eq!(
        (&copied["first"], &copied["next"]),
        (&0.into(), &2_000.into())
    );
    drop(log);
    let original = place.run("cat", &["--raw"]).good();
    let copy = feed(&mut wakelog(["cat", to, "--raw"]), b"").good();
    assert!(original.out == copy.out && !copy.out.is_empty());
    place
        .run("snapshot", &[to])
        .refused(3, &["there is something at", "choose a path"]);
}

#[test]
fn each_bench_runs_and_cleans_up() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().to_str().unwrap();
    let works = [
        "append", "batch", "sync", "read", "tail", "filter", "open", "cursors",
    ];
    for work in works {
        let words = [
            "bench", work, "--dir", dir, "--events", "40", "--size", "64", "--json",
        ];
        let result = json(&feed(&mut wakelog(words), b"").good());
        let fields = [
            "ns_per_event",
            "events_per_s",
            "mb_per_s",
            "p50_ns",
            "p99_ns",
            "p999_ns",
            "max_ns",
            "baseline_ns",
            "ratio",
        ];
        for field in fields {
            assert!(result[field].is_number(), "{work}: {result}");
        }
        assert!(
            result["p50_ns"].as_u64() <= result["max_ns"].as_u64(),
            "{work}: {result}"
        );
    }
    let words = [
        "bench",
        "append",
        "--dir",
        dir,
        "--events",
        "40",
        "--threads",
        "2",
    ];
    let table = feed(&mut wakelog(words), b"").good();
    assert!(table.text().contains("baseline") && table.text().contains("p99.9"));
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0);
    let answer = feed(
        &mut wakelog(["bench", "append", "--dir", "/nowhere/at/all"]),
        b"",
    );
    answer.refused(3, &["scratch directory"]);
}
