use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::TestkitError;
use crate::process::last_lines;

/// A release of Apache Kafka, by its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KafkaRelease {
    version: &'static str,
}

impl KafkaRelease {
    /// The release that most tests use, on both sides.
    pub const KAFKA_4_3: KafkaRelease = KafkaRelease { version: "4.3.1" };
    /// The last release line before 4.0, which removed old versions of many requests (KIP-896).
    pub const KAFKA_3_9: KafkaRelease = KafkaRelease { version: "3.9.1" };

    /// The version as Maven knows it, `4.3.1`.
    pub fn version(self) -> &'static str {
        self.version
    }
}

/// The jars of one release and the testkit's own Java programs compiled against them.
#[derive(Clone, Debug)]
pub struct KafkaJars {
    release: KafkaRelease,
    class_path: String,
}

impl KafkaJars {
    /// Finds the jars in `target/kafka`; the first caller has Maven fetch them, which takes a minute on a fresh machine.
    ///
    /// # Errors
    /// `mvn` or `javac` is missing or fails.
    pub fn resolve(release: KafkaRelease) -> Result<KafkaJars, TestkitError> {
        let home = kafka_home();
        let jars = home.join(format!("jars-{}", release.version));
        let classes = home.join(format!("classes-{}", release.version));
        fs::create_dir_all(&home).map_err(TestkitError::file(&home))?;
        // Several tests and processes may want the same release at once; the lock goes when the file is closed.
        let lock_path = home.join(format!("jars-{}.lock", release.version));
        let lock = File::create(&lock_path).map_err(TestkitError::file(&lock_path))?;
        lock.lock().map_err(TestkitError::file(&lock_path))?;
        if !jars.join(COMPLETE).exists() {
            fetch_jars(release, &jars)?;
        }
        if !is_fresh(&classes) {
            compile_java(&jars, &classes)?;
        }
        Ok(KafkaJars { release, class_path: format!("{}:{}/*", classes.display(), jars.display()) })
    }

    /// The release these jars belong to.
    pub fn release(&self) -> KafkaRelease {
        self.release
    }

    /// The class path, for a Java process whose options are chosen elsewhere.
    pub fn class_path(&self) -> &str {
        &self.class_path
    }

    /// A Java process with these jars on its class path; more options, the class and its arguments are still to be added.
    ///
    /// Most live for seconds: the optimising compiler would cost them more than it gives.
    pub(crate) fn java(&self) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        java.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", &self.class_path]);
        java
    }
}

/// Where jars, clusters and locks live: `target/kafka` of the workspace.
pub(crate) fn kafka_home() -> PathBuf {
    workspace().join("target/kafka")
}

/// The name of the first program that real Kafka needs and that does not run here.
pub(crate) fn missing_program() -> Option<&'static str> {
    ["java", "javac", "mvn"].into_iter().find(|program| {
        let output = Command::new(program).arg("-version").stdin(Stdio::null()).output();
        !output.is_ok_and(|output| output.status.success())
    })
}

pub(crate) fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_path_buf()
}

fn fetch_jars(release: KafkaRelease, jars: &Path) -> Result<(), TestkitError> {
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(workspace().join("testdata/pom.xml"));
    maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    maven.arg(format!("-Dkafka.version={}", release.version));
    maven.arg(format!("-DoutputDirectory={}", jars.display()));
    run(maven)?;
    mark_complete(jars)
}

fn compile_java(jars: &Path, classes: &Path) -> Result<(), TestkitError> {
    fs::create_dir_all(classes).map_err(TestkitError::file(classes))?;
    let mut compiler = Command::new("javac");
    compiler.args(["-encoding", "UTF-8", "-d"]).arg(classes);
    compiler.arg("-cp").arg(format!("{}/*", jars.display()));
    compiler.args(java_sources());
    run(compiler)?;
    mark_complete(classes)
}

fn java_sources() -> Vec<PathBuf> {
    ["BytesOut.java", "DumpRecords.java", "FollowerSelector.java", "Shell.java", "Workload.java"]
        .map(|name| workspace().join("testdata/java").join(name))
        .into()
}

/// Compiled after the last change of every source.
fn is_fresh(classes: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let compiled = modified(&classes.join(COMPLETE));
    compiled.is_some() && java_sources().iter().all(|source| modified(source) < compiled)
}

fn mark_complete(folder: &Path) -> Result<(), TestkitError> {
    let marker = folder.join(COMPLETE);
    fs::write(&marker, "").map_err(TestkitError::file(marker))
}

fn run(command: Command) -> Result<(), TestkitError> {
    output_of(command).map(drop)
}

/// Runs a program to its end; what it printed.
pub(crate) fn output_of(mut command: Command) -> Result<String, TestkitError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(TestkitError::program(&program))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let printed = [output.stdout, output.stderr].concat();
    Err(TestkitError::Failed {
        command: program,
        status: output.status.to_string(),
        output: last_lines(&String::from_utf8_lossy(&printed), 20),
    })
}

/// The file that says that a folder of jars or classes was written to its end.
const COMPLETE: &str = ".complete";
