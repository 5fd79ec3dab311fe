//! Cookies that Application Request Routing and YARP gave still hold.

use super::{again, before, given};
use crate::support::{Origin, Reply, origin};

/// What YARP 2.1 sets by its policy `ArrCookie` for destinations of these names.
const GIVEN: [&str; 2] = [
    "A65017B383AFE1D4C5D31A1A299B19102BA29D57D8A1D13F96EF19D7A3A64B7C",
    "445D7F3BA4D968338F6AC82FD7A6E78EB620630DA86E42E7D0105B91EEC78E4F",
];

async fn at(address: &str, name: &'static str) -> Origin {
    origin().at(address).handler(move |_| Reply::ok(name)).start().await
}

#[tokio::test]
async fn cookies_of_yarp_hold_and_are_given() {
    let (one, two) = (at("127.0.0.1:0", "one").await, at("127.0.0.2:0", "two").await);
    let edge = before(&one, &two, "{arr: {}}").await;
    let web = edge.client("web");
    for (value, name) in GIVEN.iter().zip(["one", "two"]) {
        for value in [(*value).to_owned(), value.to_lowercase()] {
            let answer = again(&web, &format!("ARRAffinity={value}")).await;
            assert_eq!((answer.text().as_str(), given(&answer)), (name, None));
        }
        let first = web.get("/").await;
        let expected = if first == "one" { GIVEN[0] } else { GIVEN[1] };
        assert_eq!(given(&first), Some(format!("ARRAffinity={expected}")));
    }
}

#[tokio::test]
async fn the_cookie_can_have_another_name() {
    let (one, two) = (at("127.0.0.1:0", "one").await, at("127.0.0.2:0", "two").await);
    let edge = before(&one, &two, "{arr: {cookie: {name: Farm, path: /a}}}").await;
    let answer = again(&edge.client("web"), &format!("Farm={}", GIVEN[1])).await;
    assert_eq!(answer, "two");
    let first = edge.get("/").await;
    let line = first.header("set-cookie").unwrap();
    assert!(line.starts_with("Farm=") && line.contains("; Path=/a;"), "{line}");
}
