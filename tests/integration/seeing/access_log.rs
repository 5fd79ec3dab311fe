//! One line for each exchange, in its form and at its place, and never at the cost of an exchange.

use crate::support::{Client, Edge, Gate, Output, Reply, Signal, edge, eventually, origin, within};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::{UdpSocket, UnixDatagram};

/// Every field there is, in its order.
const FIELDS: [&str; 21] = [
    "time",
    "request_id",
    "client",
    "listener",
    "route",
    "method",
    "host",
    "path",
    "query",
    "protocol",
    "status",
    "cause",
    "upstream",
    "endpoint",
    "attempts",
    "bytes_received",
    "bytes_sent",
    "duration_ms",
    "upstream_ms",
    "user_agent",
    "referer",
];

fn keys(line: &Value) -> Vec<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_line_of_json_tells_all_that_is_known_in_a_fixed_order() {
    let half = Reply::ok("half").header("Content-Length", 8).then_close();
    let origin = origin().answer("/a%20b", half).start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", &origin).start().await;
    let request = edge.request("POST", "/a%20b?c=d&e").host("Shop.Test:80");
    let request = request.header("User-Agent", "agent \"7\" ü").header("Referer", "http://r/?x");
    request.body("abc").try_send().await.unwrap_err().response();

    let line = &edge.access_log(1).await[0];
    assert_eq!(keys(line), FIELDS);
    for (name, expected) in [
        ("client", "127.0.0.1"),
        ("listener", "web"),
        ("route", "route-1"),
        ("method", "POST"),
        ("host", "shop.test"),
        ("path", "/a%20b"),
        ("query", "c=d&e"),
        ("protocol", "HTTP/1.1"),
        ("cause", "upstream_reset"),
        ("upstream", "app"),
        ("endpoint", origin.endpoint()),
        ("user_agent", "agent \"7\" ü"),
        ("referer", "http://r/?x"),
    ] {
        assert_eq!(line[name], expected, "{name}");
    }
    for (name, expected) in
        [("status", 200), ("attempts", 1), ("bytes_received", 3), ("bytes_sent", 4)]
    {
        assert_eq!(line[name], expected, "{name}");
    }
    let (all, of_upstream) = (&line["duration_ms"], &line["upstream_ms"]);
    let (all, of_upstream) = (all.as_f64().unwrap(), of_upstream.as_f64().unwrap());
    assert!(all >= of_upstream && of_upstream > 0.0 && all < 60_000.0, "{all} {of_upstream}");
    let time = line["time"].as_str().unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{time}");
}

#[tokio::test]
async fn what_is_unknown_is_left_out() {
    let edge = edge(
        "
        listeners: {web: {address: '127.0.0.1:0', protocols: [h1, h2]}}
        routes: [{name: own, match: {path: /x}, reply: {body: hi}}]
        ",
    )
    .start()
    .await;
    edge.client("web").h2().get("/x").await;
    edge.get("/y").await;
    let without = |absent: &[&str]| -> Vec<&str> {
        FIELDS.into_iter().filter(|name| !absent.contains(name)).collect()
    };
    let line = edge.logged("the reply", |line| line["status"] == 200).await;
    let unknown =
        ["query", "cause", "upstream", "endpoint", "upstream_ms", "user_agent", "referer"];
    assert_eq!(keys(&line), without(&unknown));
    assert_eq!(line["protocol"], "HTTP/2.0");
    let line = edge.logged("no route", |line| line["status"] == 404).await;
    let unknown =
        ["route", "query", "upstream", "endpoint", "upstream_ms", "user_agent", "referer"];
    assert_eq!(keys(&line), without(&unknown));
}

#[tokio::test]
async fn the_combined_format_is_that_of_other_servers() {
    let edge = edge(
        "
        listeners: {web: {address: '127.0.0.1:0', protocols: [h1, h2]}}
        routes: [{match: {path: /a/*}, reply: {status: 203, body: hello}}]
        access_log: {format: combined, path: access.log}
        ",
    )
    .start()
    .await;
    // Each waits for its line: a client has its answer a moment before it is logged.
    for (before, client) in [(0, edge.client("web")), (2, edge.client("web").h2())] {
        client.get("/a/b?c=%20").await;
        lines(&edge, before + 1).await;
        let request = client.request("HEAD", "/a/%22").header("referer", "http://r/");
        request.header("user-agent", "say \"hi\" \\ ü").send().await;
        lines(&edge, before + 2).await;
    }
    edge.get("/none").await;
    let lines = lines(&edge, 5).await;
    let (times, rest): (Vec<_>, Vec<_>) = lines
        .iter()
        .map(|line| {
            let (before, after) = line.split_once(" [").unwrap();
            let (time, after) = after.split_once("] ").unwrap();
            (time.to_owned(), format!("{before} [] {after}"))
        })
        .unzip();
    for (version, expected) in [("1.1", &rest[..2]), ("2.0", &rest[2..4])] {
        assert_eq!(
            expected,
            [
                format!(r#"127.0.0.1 - - [] "GET /a/b?c=%20 HTTP/{version}" 203 5 "-" "-""#),
                format!(
                    r#"127.0.0.1 - - [] "HEAD /a/%22 HTTP/{version}" 203 0 "http://r/" "{}""#,
                    r"say \x22hi\x22 \x5C \xC3\xBC"
                ),
            ]
        );
    }
    assert!(rest[4].starts_with(r#"127.0.0.1 - - [] "GET /none HTTP/1.1" 404 "#), "{}", rest[4]);
    for time in times {
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let month = &time[3..6];
        assert_eq!(shape.replace(month, "Mon"), "00/Mon/0000:00:00:00 +0000", "{time}");
    }
}

#[tokio::test]
async fn the_w3c_format_is_that_of_iis() {
    let edge = edge(
        "
        listeners: {web: {address: '127.0.0.1:0'}, wide: {address: '[::]:0'}}
        routes: [{match: {path: /a/*}, reply: {status: 203, body: hello}}]
        access_log: {format: w3c, path: access.log}
        ",
    )
    .file("access.log", "before\n")
    .start()
    .await;
    let request = edge.request("GET", "/a/b?c=%20").header("referer", "http://r/ x");
    request.header("user-agent", "say \"hi\"\tü").send().await;
    lines(&edge, 6).await;
    let port = |listener: &str| edge.address(listener).rsplit_once(':').unwrap().1.to_owned();
    let wide = port("wide");
    Client::new(format!("127.0.0.1:{wide}")).get("/none").await;
    let lines = lines(&edge, 7).await;

    assert_eq!(
        lines[..3],
        ["before", concat!("#Software: falconer ", env!("CARGO_PKG_VERSION")), "#Version: 1.0"]
    );
    let fields = "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username \
                  c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken";
    assert_eq!(lines[4], fields);
    let (date, shape) = (lines[3].strip_prefix("#Date: ").unwrap(), "0000-00-00 00:00:00");
    assert_eq!(digits(date), shape);
    let expected = [
        format!(
            "127.0.0.1 GET /a/b c=%20 {} - 127.0.0.1 say+\"hi\"+ü http://r/+x 203 0 0",
            port("web")
        ),
        format!("127.0.0.1 GET /none - {wide} - 127.0.0.1 - - 404 0 0"),
    ];
    for (line, expected) in lines[5..].iter().zip(expected) {
        let (time, rest) = line.split_at(shape.len());
        assert_eq!(digits(time), shape);
        let (rest, taken) = rest.rsplit_once(' ').unwrap();
        assert_eq!(rest.trim_start(), expected);
        assert!(taken.parse::<u64>().unwrap() < 60_000, "{line}");
    }
}

#[tokio::test]
async fn a_new_file_in_the_w3c_format_begins_with_its_fields() {
    let edge =
        edge("routes: [reply: {}]\naccess_log: {format: w3c, path: access.log}").start().await;
    edge.get("/old").await;
    lines(&edge, 5).await;
    fs::rename(edge.file("access.log"), edge.file("access.log.1")).unwrap();
    let new = eventually("a line in the new file", async || {
        edge.get("/new").await;
        let text = fs::read_to_string(edge.file("access.log")).unwrap_or_default();
        text.contains("/new").then_some(text)
    })
    .await;
    assert!(new.starts_with("#Software: ") && new.matches("#Fields: ").count() == 1, "{new}");
}

#[tokio::test]
async fn a_template_says_what_the_document_wants() {
    let origin = origin().reply("/users/7", "hello").start().await;
    let line = "{client.ip}:{client.port} '{request.method} {request.scheme} {request.host} \
                {request.path}?{request.query} {protocol}' {response.status} {cause} {route.name} \
                {path.id} {upstream} {endpoint} {attempts} {bytes_sent} {request.header.x-a} \
                {request.cookie.sid} {request.header.user-agent} {{literal}}";
    let edge = edge(
        "
        upstreams: {app: {endpoints: [$app]}}
        routes: [{name: user, match: {path: '/users/{id}'}, upstream: app}]
        access_log: {path: access.log, format: {template: \"$line\"}}
        ",
    )
    .with("app", &origin)
    .with("line", line)
    .start()
    .await;
    let request = edge.request("GET", "/users/7?a=%22").header("x-a", "1").header("x-a", "2");
    request.header("cookie", "a=b; sid=s\"1").header("user-agent", "ü\t\\").send().await;
    lines(&edge, 1).await;
    edge.request("GET", "/none").header("x-a", "known").host("Shop.Test:80").send().await;
    lines(&edge, 2).await;
    let mut raw = edge.raw("web").await;
    raw.write("GET /bad HTTP/1.1\r\nHost: a b\r\nX-A: 1\r\nUser-Agent: u\r\n\r\n").await;
    assert_eq!(raw.response().await.status, 400);

    let lines: Vec<_> = lines(&edge, 3).await.iter().map(|line| without_port(line)).collect();
    let endpoint = origin.endpoint();
    assert_eq!(
        lines[0],
        format!(
            "127.0.0.1 'GET http 127.0.0.1 /users/7?a=%22 HTTP/1.1' 200  user 7 app {endpoint} \
             1 5 1, 2 s\\x221 \\xC3\\xBC\\x09\\x5C {{literal}}"
        )
    );
    let rest = " {literal}";
    let no_route = "127.0.0.1 'GET http shop.test /none? HTTP/1.1' 404 no_route     0 ";
    assert!(
        lines[1].starts_with(no_route) && lines[1].ends_with(&format!(" known  {rest}")),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].contains("' 400 bad_request ") && lines[2].ends_with(&format!(" u{rest}")),
        "{}",
        lines[2]
    );
}

#[tokio::test]
async fn a_template_sees_what_the_endpoint_is_told_of_the_client() {
    let origin = origin().reply("/", "hello").start().await;
    let edge = edge(
        "
        upstreams: {app: {endpoints: [$app]}}
        access_log:
          path: access.log
          format: {template: '{request.header.x-forwarded-for} {request.header.x-forwarded-host}'}
        ",
    )
    .with("app", &origin)
    .start()
    .await;
    let request = edge.request("GET", "/").host("shop.example");
    request.header("x-forwarded-for", "6.6.6.6").send().await;
    assert_eq!(lines(&edge, 1).await, ["127.0.0.1 shop.example"]);
    assert_eq!(origin.request().await.headers.all("x-forwarded-for"), ["127.0.0.1"]);
}

/// A line without the port of the client, with which it begins.
fn without_port(line: &str) -> String {
    let (client, rest) = line.split_once(' ').unwrap();
    let (ip, port) = client.split_once(':').unwrap();
    assert!(port.is_empty() || port.parse::<u16>().unwrap() > 0, "{line}");
    format!("{ip} {rest}")
}

/// A text with a 0 for each digit.
fn digits(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

#[tokio::test]
async fn routes_and_classes_of_no_interest_are_not_logged() {
    let edge = edge(
        "
        routes:
          - {match: {path: /quiet}, access_log: off, reply: {status: 404}}
          - {match: {path: /fine}, reply: {status: 200}}
          - {match: {path: /bad}, reply: {status: 500}}
        access_log: {format: common, path: access.log, only: [4xx, 5xx]}
        ",
    )
    .start()
    .await;
    for path in ["/quiet", "/fine", "/none", "/quiet", "/fine", "/bad"] {
        edge.get(path).await;
    }
    let mut raw = edge.raw("web").await;
    raw.write("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(raw.response().await.status, 400);
    let mut lines = lines(&edge, 3).await;
    lines.iter_mut().for_each(|line| *line = line.split_once("] ").unwrap().1.to_owned());
    lines.sort();
    assert!(lines[0].starts_with("\"GET / HTTP/1.1\" 400 "), "{lines:?}");
    assert_eq!(lines[1], "\"GET /bad HTTP/1.1\" 500 0");
    assert!(lines[2].starts_with("\"GET /none HTTP/1.1\" 404 "), "{lines:?}");
    assert_eq!(lines.len(), 3);
}

/// The lines of the file `access.log`, when it has so many.
async fn lines(edge: &Edge, at_least: usize) -> Vec<String> {
    let path = edge.file("access.log");
    eventually(&format!("{at_least} lines in {}", path.display()), async || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines: Vec<_> = whole.lines().map(str::to_owned).collect();
        (lines.len() >= at_least).then_some(lines)
    })
    .await
}

#[tokio::test]
async fn lines_go_to_stdout_to_stderr_or_nowhere() {
    for destination in ["stdout", "stderr", "off"] {
        let edge = edge("routes: [reply: {}]\naccess_log: {path: $to}")
            .with("to", destination)
            .start()
            .await;
        edge.get("/seen").await;
        let out: Option<&Output> = match destination {
            "stdout" => Some(edge.stdout()),
            "stderr" => Some(edge.stderr()),
            _ => None,
        };
        if let Some(out) = out {
            let line = out.line("/seen").await;
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["status"], 200);
        }
        edge.signal(Signal::SIGTERM);
        let (stdout, stderr) = (edge.stdout().whole().await, edge.stderr().whole().await);
        assert_eq!(stdout.contains("/seen"), destination == "stdout");
        assert_eq!(stderr.contains("/seen"), destination == "stderr");
    }
}

#[tokio::test]
async fn a_file_is_seen_from_the_folder_of_the_document_and_only_added_to() {
    let edge = edge("routes: [reply: {}]\naccess_log: {path: logs/access.log}")
        .file("logs/access.log", "before\n")
        .start()
        .await;
    edge.get("/seen").await;
    let path = edge.file("logs/access.log");
    let text = eventually("the line", async || {
        fs::read_to_string(&path).ok().filter(|text| text.ends_with("}\n"))
    })
    .await;
    assert!(text.starts_with("before\n{") && text.contains("/seen"), "{text}");
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_starts_nothing() {
    let document = "routes: [reply: {}]\naccess_log: {format: json, path: none/access.log}";
    let (code, said) = edge(document).fails_with().await;
    assert_eq!(code, 1);
    let said = said.lines().last().unwrap();
    assert!(said.contains("falconer.yaml:2:34: the access log cannot be opened at `"), "{said}");
    assert!(said.contains("/none/access.log`: No such file or directory"), "{said}");
    assert!(said.ends_with("; name a file that this user may write"), "{said}");
}

#[tokio::test]
async fn a_line_is_on_disk_within_a_second() {
    let edge = edge("routes: [reply: {}]").start().await;
    for n in 1..=3 {
        edge.get("/").await;
        let answered = Instant::now();
        edge.access_log(n).await;
        // The second, and as much again for a busy machine.
        assert!(answered.elapsed() < Duration::from_secs(2), "{:?}", answered.elapsed());
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_made_anew() {
    let edge = edge("routes: [reply: {}]").start().await;
    edge.get("/old").await;
    edge.access_log(1).await;
    fs::rename(edge.file("access.log"), edge.file("access.log.1")).unwrap();
    eventually("a line in the new file", async || {
        edge.get("/new").await;
        let text = fs::read_to_string(edge.file("access.log")).unwrap_or_default();
        text.contains("/new").then_some(())
    })
    .await;
    assert!(fs::read_to_string(edge.file("access.log.1")).unwrap().contains("/old"));
}

#[tokio::test]
async fn sigusr1_opens_the_file_anew_and_no_line_is_lost() {
    const TURNS: usize = 20;
    const REQUESTS: usize = 20_000;
    let edge = edge("routes: [reply: {}]").start().await;
    let current = edge.file("access.log");
    let old = |turn: usize| edge.file(&format!("access.log.{turn}"));
    let turns = async {
        for turn in 0..TURNS {
            // Each file has got something, so that each turn cuts through the load.
            eventually("a line", async || {
                fs::metadata(&current).is_ok_and(|file| file.len() > 0).then_some(())
            })
            .await;
            fs::rename(&current, old(turn)).unwrap();
            edge.signal(Signal::SIGUSR1);
            eventually("a new file", async || current.exists().then_some(())).await;
        }
    };
    let load = async {
        let mut sent = 0;
        // As long as files are moved, and some more.
        while sent < REQUESTS || !old(TURNS - 1).exists() {
            flood(&edge, 2_000).await;
            sent += 2_000;
        }
        sent
    };
    let (sent, ()) = futures::future::join(load, turns).await;

    let files: Vec<_> = (0..TURNS).map(old).chain([current.clone()]).collect();
    let count = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count()
    };
    eventually("every line, once", async || {
        let all = files.iter().map(count).sum::<usize>();
        assert!(all <= sent, "{all} lines for {sent} requests");
        (all == sent).then_some(())
    })
    .await;
    assert_eq!(edge.metric("falconer_observe_access_log_dropped_total").await, 0.0);
}

#[tokio::test]
async fn sigusr1_opens_the_file_anew_though_nothing_is_logged_and_while_draining() {
    let mut edge = edge("routes: [reply: {}]\nserver: {drain: 1m}").start().await;
    let (current, old) = (edge.file("access.log"), edge.file("access.log.1"));
    let reopened = async || {
        fs::rename(&current, &old).unwrap();
        edge.signal(Signal::SIGUSR1);
        eventually("a new file", async || current.exists().then_some(())).await;
    };
    reopened().await;

    let mut busy = edge.raw("web").await;
    busy.write("GET /half HTTP/1.1\r\n").await;
    edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 1.0).await;
    edge.signal(Signal::SIGTERM);
    edge.stderr().line("draining").await;
    reopened().await;
    busy.write("Host: a\r\n\r\n").await;
    assert_eq!(busy.response().await.status, 200);
    assert_eq!(edge.wait_exit().await, 0);
    assert!(fs::read_to_string(&current).unwrap().contains("/half"));
}

#[tokio::test]
async fn syslog_gets_a_message_of_rfc_5424_for_each_exchange() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to_unix = format!("syslog:unix:{}", path.display());
    let to_udp = format!("syslog:udp:{}", udp.local_addr().unwrap());
    for to in [to_unix, to_udp] {
        let edge = edge("routes: [reply: {}]\naccess_log: {path: \"$to\"}").with("to", &to);
        let edge = edge.start().await;
        edge.request("GET", "/seen").header("user-agent", "a\tb").send().await;
        let (mut by_unix, mut by_udp) = (vec![0; 4096], vec![0; 4096]);
        let message = within("a message", async {
            tokio::select! {
                length = unix.recv(&mut by_unix) => by_unix[..length.unwrap()].to_vec(),
                length = udp.recv(&mut by_udp) => by_udp[..length.unwrap()].to_vec(),
            }
        });
        let message = String::from_utf8(message.await).unwrap();
        let fields: Vec<_> = message.splitn(8, ' ').collect();
        let [priority, time, host, app, process, id, data, text] = fields[..] else {
            panic!("{message}")
        };
        assert_eq!((priority, app, id, data), ("<190>1", "falconer", "access", "-"));
        assert_eq!(digits(time), "0000-00-00T00:00:00.000Z");
        assert!(!host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic()), "{host}");
        assert_eq!(process, edge.process().id().to_string());
        let text: Value = serde_json::from_str(text).unwrap();
        assert_eq!((&text["time"], &text["path"]), (&time.into(), &"/seen".into()));
        assert_eq!(text["user_agent"], "a\tb");
    }
}

#[tokio::test]
async fn a_receiver_of_syslog_that_is_not_there_loses_lines_and_slows_no_request() {
    let edge = edge("routes: [reply: {}]\naccess_log: {path: \"syslog:unix:log\"}").start().await;
    flood(&edge, 2_000).await;
    edge.metric_becomes("falconer_observe_access_log_dropped_total", 2_000.0).await;

    // It comes, reads nothing, and then everything.
    let receiver = UnixDatagram::bind(edge.file("log")).unwrap();
    flood(&edge, FLOOD).await;
    assert_eq!(edge.get("/late").await.status, 200);
    let sent = 2_000 + FLOOD + 1;
    let mut taken = 0;
    eventually("every line to be taken or counted", async || {
        let mut buffer = vec![0; 4096];
        while receiver.try_recv(&mut buffer).is_ok() {
            taken += 1;
        }
        let dropped = edge.metric("falconer_observe_access_log_dropped_total").await as usize;
        (taken + dropped == sent).then_some(())
    })
    .await;
    assert!(taken > 0);
}

/// More than a pipe and the queue hold together.
const FLOOD: usize = 12_000;

#[tokio::test]
async fn a_stalled_stdout_slows_no_request_and_what_is_lost_is_counted() {
    let reading = Gate::new();
    let edge = edge("routes: [reply: {}]\naccess_log: {path: stdout}")
        .stdout_behind(&reading)
        .start()
        .await;
    flood(&edge, FLOOD).await;
    // A request among those that cannot be logged is as quick as any.
    assert_eq!(edge.get("/late").await.status, 200);
    let dropped = async || edge.metric("falconer_observe_access_log_dropped_total").await;
    assert!(dropped().await > 0.0, "nothing was lost, so nothing stalled");
    // The last exchanges are counted, and perhaps lost, after their responses.
    eventually("all exchanges to be over", async || {
        let counted = edge.metric("falconer_route_requests_total").await;
        (counted == FLOOD as f64 + 1.0).then_some(())
    })
    .await;

    reading.open();
    let kept = eventually("all lines that were kept", async || {
        let kept = FLOOD + 1 - dropped().await as usize;
        (edge.stdout().text().lines().count() >= kept).then_some(kept)
    })
    .await;
    edge.get("/again").await;
    edge.stdout().line("/again").await;
    assert_eq!(edge.stdout().text().lines().count(), kept + 1);
    assert_eq!(dropped().await as usize, FLOOD + 1 - kept);
}

/// So many requests over four connections.
async fn flood(edge: &Edge, count: usize) {
    const BATCH: usize = 100;
    let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(BATCH);
    let one = async || {
        let mut raw = edge.raw("web").await;
        for _ in 0..count / 4 / BATCH {
            raw.write(&requests).await;
            for _ in 0..BATCH {
                assert_eq!(raw.response().await.status, 200);
            }
        }
    };
    within("the flood", futures::future::join_all([one(), one(), one(), one()])).await;
}

#[tokio::test]
async fn what_is_queued_is_written_before_the_process_ends() {
    let mut edge = edge("routes: [reply: {}]\naccess_log: {path: stdout}").start().await;
    flood(&edge, 4_000).await;
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.wait_exit().await, 0);
    assert_eq!(edge.stdout().whole().await.lines().count(), 4_000);
}
