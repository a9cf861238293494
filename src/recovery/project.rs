//! A compose project as its containers tell of it, without a compose file and without `docker compose`: who depends on whom.

use std::collections::BTreeMap;

use super::{After, Until};
use crate::docker::ContainerInfo;

/// The label that names the project.
const PROJECT: &str = "com.docker.compose.project";
/// The label that names the service within the project.
const SERVICE: &str = "com.docker.compose.service";
/// The label that says what the service depends on: `db:service_healthy:true,cache:service_started:false`.
const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// The label of what `docker compose run` has made: it is nobody's service.
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// The label of containers that belong together, and its value; nothing where a container is of no project.
pub fn project_of(container: &ContainerInfo) -> Option<(&'static str, &str)> {
    container.labels.get(PROJECT).map(|project| (PROJECT, project.as_str()))
}

/// A container of a project, where it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The container.
    pub container: ContainerInfo,
    /// What it waits for, by its place in the order.
    pub after: Vec<After>,
    /// The services that it depends on and of which there is no container.
    pub lacks: Vec<String>,
}

/// Services of a project depend on each other in a circle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The containers depend on each other in a circle: {}", .0.join(", "))]
pub struct Circle(pub Vec<String>);

/// The containers of a project in the order in which they are started: each after all it depends on, else by name.
pub fn order(mut containers: Vec<ContainerInfo>) -> Result<Vec<Member>, Circle> {
    containers.retain(|container| {
        !container.labels.get(ONE_OFF).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    });
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    let mut left = containers;
    let mut members: Vec<Member> = Vec::new();
    // A service may have several containers.
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    while !left.is_empty() {
        let waits = |container: &ContainerInfo| {
            let of_left = |service: &str| left.iter().any(|other| service_of(other) == service);
            depends_on(container).iter().any(|(service, _)| of_left(service))
        };
        let Some(next) = left.iter().position(|container| !waits(container)) else {
            return Err(Circle(left.into_iter().map(|container| container.name).collect()));
        };
        let container = left.remove(next);
        let (mut after, mut lacks) = (Vec::new(), Vec::new());
        for (service, until) in depends_on(&container) {
            match places.get(service) {
                Some(parts) => after.extend(parts.iter().map(|part| After { part: *part, until })),
                None => lacks.push(service.to_owned()),
            }
        }
        places.entry(service_of(&container).to_owned()).or_default().push(members.len());
        members.push(Member { container, after, lacks });
    }
    Ok(members)
}

fn service_of(container: &ContainerInfo) -> &str {
    container.labels.get(SERVICE).map_or(container.name.as_str(), String::as_str)
}

/// The services that a container's own depends on, and how far each has to be.
fn depends_on(container: &ContainerInfo) -> Vec<(&str, Until)> {
    let label = container.labels.get(DEPENDS_ON).map(String::as_str).unwrap_or_default();
    label.split(',').map(str::trim).filter(|part| !part.is_empty()).map(dependency).collect()
}

/// `db:service_healthy:true`; older versions of compose leave out the last word, or the last two.
fn dependency(text: &str) -> (&str, Until) {
    let mut words = text.split(':');
    let service = words.next().unwrap_or_default();
    let until = match words.next() {
        Some("service_healthy") => Until::Healthy,
        Some("service_completed_successfully") => Until::Completed,
        _ => Until::Started,
    };
    (service, until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::{Bounds, ContainerState, Life, Stopping};

    fn container(name: &str, labels: &[(&str, &str)]) -> ContainerInfo {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ContainerInfo {
            id: name.to_owned(),
            name: format!("p-{name}-1"),
            image_id: String::new(),
            image: String::new(),
            state: ContainerState::Running,
            health: None,
            command: Vec::new(),
            working_dir: "/".to_owned(),
            user: String::new(),
            mounts: Vec::new(),
            restarts: 0,
            started: None,
            removed_at_end: false,
            restart_policy: "no".to_owned(),
            labels,
            life: Life::default(),
            bounds: Bounds::default(),
            stopping: Stopping::default(),
        }
    }

    fn service(name: &str, depends_on: &str) -> ContainerInfo {
        container(name, &[(SERVICE, name), (DEPENDS_ON, depends_on)])
    }

    fn ids(members: &[Member]) -> Vec<&str> {
        members.iter().map(|member| member.container.id.as_str()).collect()
    }

    #[test]
    fn each_is_started_after_all_it_depends_on_in_every_form_of_the_label() {
        let all = vec![
            service(
                "app",
                "db:service_healthy:true,seed:service_completed_successfully:false,gone:service_started",
            ),
            service("db", ""),
            service("seed", "db"),
            container("once", &[(SERVICE, "app"), (ONE_OFF, "True")]),
        ];
        let members = order(all).unwrap();
        assert_eq!(ids(&members), ["db", "seed", "app"], "what was run once is no service");
        let after = |part, until| After { part, until };
        assert_eq!(members[1].after, [after(0, Until::Started)]);
        assert_eq!(members[2].after, [after(0, Until::Healthy), after(1, Until::Completed)]);
        assert_eq!(members[2].lacks, ["gone"]);
    }

    #[test]
    fn a_service_of_several_containers_is_waited_for_as_a_whole_and_a_circle_is_told() {
        let second = ContainerInfo { name: "p-db-2".to_owned(), ..service("db", "") };
        let members = order(vec![service("app", "db"), service("db", ""), second]).unwrap();
        assert_eq!(members[2].after.len(), 2);
        let Circle(names) = order(vec![service("a", "b"), service("b", "a"), service("c", "")]).unwrap_err();
        assert_eq!(names, ["p-a-1", "p-b-1"]);
    }
}
