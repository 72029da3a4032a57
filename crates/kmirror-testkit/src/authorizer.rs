//! Clusters whose clients need permissions. The nodes talk to each other, and the testkit to them, as a super user by SASL on
//! listeners of their own; clients come on the plaintext listener as `User:ANONYMOUS`, or log in where the nodes do.

use std::fs;
use std::path::Path;

use crate::{KafkaEndpoint, KafkaJars, TestkitError, ToolOutput};

/// Properties that replace those of a node without an authorizer: in a properties file the last value counts.
pub(crate) fn properties(broker: u16, controller: u16, internal: u16) -> String {
    let users = ["kafka"].iter().chain(USERS).map(|user| format!(" user_{user}=\"secret\""));
    let login = format!("{}{};", login("kafka"), users.collect::<String>());
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{broker},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{broker},INTERNAL://127.0.0.1:{internal}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INTERNAL:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT\n\
         inter.broker.listener.name=INTERNAL\n\
         sasl.enabled.mechanisms=PLAIN\n\
         sasl.mechanism.inter.broker.protocol=PLAIN\n\
         sasl.mechanism.controller.protocol=PLAIN\n\
         listener.name.internal.plain.sasl.jaas.config={login}\n\
         listener.name.controller.plain.sasl.jaas.config={login}\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:kafka\n\
         allow.everyone.if.no.acl.found=false\n"
    )
}

/// What `kafka-acls` needs to come as the super user.
pub(crate) fn write_admin_config(folder: &Path, internal: u16) -> Result<(), TestkitError> {
    let path = folder.join(ADMIN_CONFIG);
    let config = format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={};\nbootstrap.servers=127.0.0.1:{internal}\n",
        login("kafka")
    );
    fs::write(&path, config).map_err(TestkitError::file(&path))
}

/// Runs `kafka-acls --add` for all clients of the node in `folder`.
pub(crate) fn allow(jars: &KafkaJars, folder: &Path, permission: &[&str]) -> Result<(), TestkitError> {
    let path = folder.join(ADMIN_CONFIG);
    let server = internal_server(folder)?;
    let server = server.as_str();
    let config = path.display().to_string();
    // It moved with Kafka 4.0.
    let class = match jars.release().version().starts_with('3') {
        true => "kafka.admin.AclCommand",
        false => "org.apache.kafka.tools.AclCommand",
    };
    let mut arguments = vec![class, "--bootstrap-server", server, "--command-config", &config];
    arguments.extend(["--add", "--allow-principal", "User:ANONYMOUS"]);
    arguments.extend(permission);
    KafkaEndpoint::new(jars.clone(), server).tool(&arguments)?.success().map(drop)
}

/// Runs the console consumer for the first records of partition 0 of a topic, outside of any group, as one of [`USERS`].
pub(crate) fn consume_as(
    jars: &KafkaJars,
    folder: &Path,
    user: &str,
    topic: &str,
    count: usize,
) -> Result<ToolOutput, TestkitError> {
    let endpoint = KafkaEndpoint::new(jars.clone(), &internal_server(folder)?);
    let (count, login) = (count.to_string(), format!("sasl.jaas.config={};", login(user)));
    let mut arguments =
        vec!["console-consumer", "--topic", topic, "--partition", "0", "--offset", "earliest"];
    arguments.extend(["--max-messages", &count, "--timeout-ms", "20000"]);
    for property in ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN", &login] {
        arguments.extend([endpoint.consumer_option(), property]);
    }
    endpoint.tool(&arguments)
}

fn internal_server(folder: &Path) -> Result<String, TestkitError> {
    let path = folder.join(ADMIN_CONFIG);
    let config = fs::read_to_string(&path).map_err(TestkitError::file(&path))?;
    let server = config.lines().find_map(|line| line.strip_prefix("bootstrap.servers="));
    Ok(server.unwrap_or_default().to_owned())
}

fn login(user: &str) -> String {
    format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"{user}\" password=\"secret\""
    )
}

/// Who may log in beside the nodes, with no rights but those that entries give.
pub(crate) const USERS: &[&str] = &["alice", "bob", "eve"];
const ADMIN_CONFIG: &str = "admin.properties";
