use super::*;

/// URL, weight and priority of what these records stand for.
fn shown(services: &[(u16, u16, u16, Option<&str>)]) -> Vec<String> {
    let service = |&(priority, weight, port, target): &(u16, u16, u16, Option<&str>)| {
        let target = target.map(Box::from);
        Service { priority, weight, port, target }
    };
    let services: Vec<_> = services.iter().map(service).collect();
    let members = targets(&services, Scheme::Http).into_iter();
    members.map(|m| format!("{} {} {}", m.url, m.weight, m.priority)).collect()
}

#[test]
fn the_lowest_priority_goes_first_and_no_weight_is_the_least() {
    let services = [
        (10, 3, 8080, Some("one.internal")),
        (10, 0, 8081, Some("One.Internal")),
        (20, 5, 80, Some("two.internal")),
        (300, 0, 80, Some("10.0.0.1")),
    ];
    let expected = [
        "http://one.internal:8080 3 0",
        "http://one.internal:8081 1 0",
        "http://two.internal:80 5 1",
        "http://10.0.0.1:80 1 2",
    ];
    assert_eq!(shown(&services), expected);
}

#[test]
fn a_service_that_is_not_to_be_had_has_no_targets() {
    assert_eq!(shown(&[(0, 0, 0, None)]), [""; 0]);
    assert_eq!(shown(&[(0, 0, 0, None), (9, 1, 80, Some("a"))]), ["http://a:80 1 0"]);
}
