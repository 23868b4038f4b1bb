//! `tenantry get`: what kubectl get prints, byte for byte, without a discovery call.
//!
//! For people the server renders rows (`as=Table`) and leaves the objects out, which costs a tenth of sending them;
//! metadata is asked for only where a namespace or labels are shown.

mod targets;

use clap::{Args, ValueEnum};
use futures::StreamExt;
use serde_json::{Value, json};

use super::api_error::ApiError;
use super::client::{Change, Client, JSON, Next, Selectors, TABLE, with_query};
use super::kinds::{self, Kind, Resource};
use super::table::{Layout, Printer, Table};
use super::{Exit, Failure, Session, json as go_json, yaml};
use targets::Target;
pub(super) use targets::named;

/// Flags of `get`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tenantry get tenants\n  tenantry get tn acme -o yaml\n  tenantry get tdb,msvc -n tenant-acme\n  tenantry get sdb -l tenantry.dev/tenant=acme -w"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(super) struct GetArgs {
    /// TYPE, TYPE NAME…, or TYPE/NAME…; types may be listed with commas
    #[arg(required = true, value_name = "TYPE|TYPE/NAME")]
    targets: Vec<String>,
    /// Objects of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects whose labels match
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Only objects whose fields match
    #[arg(long, value_name = "SELECTOR")]
    field_selector: Option<String>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Shape>,
    /// No line of titles
    #[arg(long)]
    no_headers: bool,
    /// Labels as the last column
    #[arg(long)]
    show_labels: bool,
    /// Names with their kind
    #[arg(long)]
    show_kind: bool,
    /// Keep managedFields in JSON and YAML
    #[arg(long)]
    show_managed_fields: bool,
    /// An object that does not exist is no failure
    #[arg(long)]
    ignore_not_found: bool,
    /// After the list, print every change until interrupted
    #[arg(short, long)]
    watch: bool,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// All columns
    Wide,
    /// Objects as JSON
    Json,
    /// Objects as YAML
    Yaml,
    /// TYPE/NAME
    Name,
}

pub(super) async fn run(args: &GetArgs, session: &mut Session) -> Result<Exit, Failure> {
    let targets = targets::parse(&args.targets)?;
    let named = targets.iter().any(|target| target.name.is_some());
    if named && (args.selector.is_some() || args.field_selector.is_some()) {
        return Err(Failure::usage("name cannot be provided when a selector is specified"));
    }
    if args.all_namespaces
        && targets.iter().any(|target| target.name.is_some() && target.kind.resource.namespaced)
    {
        return Err(Failure::usage("a resource cannot be retrieved by name across all namespaces"));
    }
    let client = session.client().await?;
    let get = Get { args, client: &client };
    if args.watch {
        let [target] = targets[..] else {
            return Err(Failure::usage(
                "watch is only supported on individual resources and resource collections",
            ));
        };
        return get.watch(target, session).await;
    }
    match args.output {
        None | Some(Shape::Wide) => get.tables(&targets, session).await,
        Some(Shape::Name) => get.names(&targets, session).await,
        Some(Shape::Json | Shape::Yaml) => get.objects(&targets, session).await,
    }
}

struct Get<'a> {
    args: &'a GetArgs,
    client: &'a Client,
}

impl Get<'_> {
    async fn tables(&self, targets: &[Target<'_>], session: &mut Session) -> Result<Exit, Failure> {
        let mixed = targets.iter().any(|target| target.kind != targets[0].kind);
        let mut printer: Option<(&Kind, Printer)> = None;
        let (mut errors, mut text) = (vec![], String::new());
        for (target, table) in self.fetch::<Table>(targets, TABLE, Some(self.include())).await {
            let table = match table {
                Ok(table) => table,
                Err(error) if self.args.ignore_not_found && error.is_not_found() => continue,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            match &mut printer {
                Some((kind, printer)) if *kind == target.kind => printer.add(&table),
                _ => {
                    section(&mut text, printer.take(), self.args.no_headers);
                    let mut next = Printer::new(self.layout(&target.kind.resource, mixed));
                    next.add(&table);
                    printer = Some((target.kind, next));
                }
            }
        }
        section(&mut text, printer, self.args.no_headers);
        session.output.write(&text)?;
        if text.is_empty() && errors.is_empty() && !self.args.ignore_not_found {
            let namespaced =
                !self.args.all_namespaces && targets.iter().all(|target| target.kind.resource.namespaced);
            session.output.note(&if namespaced {
                format!("No resources found in {} namespace.", self.client.namespace())
            } else {
                "No resources found".to_owned()
            });
        }
        self.end(errors, targets, session).await
    }

    async fn names(&self, targets: &[Target<'_>], session: &mut Session) -> Result<Exit, Failure> {
        let mut errors = vec![];
        for (target, table) in self.fetch::<Table>(targets, TABLE, Some("None")).await {
            match table {
                Ok(table) => {
                    for name in table.names() {
                        session.output.line(&target.kind.resource.object(name))?;
                    }
                }
                Err(error) if self.args.ignore_not_found && error.is_not_found() => {}
                Err(error) => errors.push(error),
            }
        }
        self.end(errors, targets, session).await
    }

    async fn objects(&self, targets: &[Target<'_>], session: &mut Session) -> Result<Exit, Failure> {
        let single = matches!(targets, [Target { name: Some(_), .. }]);
        let (mut found, mut errors) = (vec![], vec![]);
        for (target, reply) in self.fetch::<Value>(targets, JSON, None).await {
            match reply {
                Ok(object) if target.name.is_some() => found.push(object),
                Ok(mut list) => {
                    if let Value::Array(items) = list["items"].take() {
                        found.extend(items);
                    }
                }
                Err(error) if self.args.ignore_not_found && error.is_not_found() => {}
                Err(error) => errors.push(error),
            }
        }
        let nothing = found.is_empty() && (single || self.args.ignore_not_found);
        if !nothing {
            for object in &mut found {
                self.strip(object);
            }
            let value = if single {
                found.swap_remove(0)
            } else {
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": found})
            };
            session.output.write(&self.rendered(&value))?;
        }
        self.end(errors, targets, session).await
    }

    /// Sends every request, some at a time; replies come in the order of the targets.
    async fn fetch<'t, T: serde::de::DeserializeOwned>(
        &self,
        targets: &[Target<'t>],
        accept: &'static str,
        include: Option<&str>,
    ) -> Vec<(Target<'t>, Result<T, ApiError>)> {
        let selectors = self.selectors();
        let requests = targets.iter().map(|target| {
            let mut query = if target.name.is_none() { selectors.query() } else { vec![] };
            query.extend(include.map(|include| ("includeObject", include)));
            let path = target.kind.resource.path(self.namespace(), target.name);
            let path = with_query(path, &query);
            async move {
                let reply = self.client.read(&path, accept).await;
                (*target, reply.map_err(|error| self.in_context(*target, error)))
            }
        });
        futures::stream::iter(requests).buffered(8).collect().await
    }

    /// kubectl says which selector the server could not read.
    fn in_context(&self, target: Target<'_>, error: ApiError) -> ApiError {
        match error {
            ApiError::Status(mut status) if status.reason == "BadRequest" && target.name.is_none() => {
                let resource = &target.kind.resource;
                let selectors = self.selectors();
                status.message = format!(
                    "Unable to find \"{}, Resource={}\" that match label selector {:?}, field selector {:?}: {}",
                    resource.api_version(),
                    resource.plural,
                    selectors.labels.unwrap_or_default(),
                    selectors.fields.unwrap_or_default(),
                    status.message
                );
                ApiError::Status(status)
            }
            error => error,
        }
    }

    /// Prints what there is and then every change, until the server ends the watch.
    async fn watch(&self, target: Target<'_>, session: &mut Session) -> Result<Exit, Failure> {
        let resource = &target.kind.resource;
        let human = matches!(self.args.output, None | Some(Shape::Wide | Shape::Name));
        let accept = if human { TABLE } else { JSON };
        let selectors = target.name.map_or_else(|| self.selectors(), Selectors::named);
        let path = resource.path(self.namespace(), None);
        let mut query = selectors.query();
        query.extend(human.then(|| ("includeObject", self.include())));
        if let Some(name) = target.name {
            // Says NotFound in the server's own words.
            self.client.object(resource, self.namespace(), name).await?;
        }
        let mut reply: Value = self.client.read(&with_query(path.clone(), &query), accept).await?;
        let version = reply["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let mut printer = Printer::new(self.layout(resource, false));
        let first = if human { vec![reply] } else { items(&mut reply, resource) };
        for value in first {
            self.change(value, resource, &mut printer, session)?;
        }
        query.push(("resourceVersion", &version));
        let shown = |change| {
            let (Change::Is(value) | Change::Deleted(value)) = change;
            self.change(value, resource, &mut printer, session).map(|()| Next::Continue)
        };
        self.client.watch::<Failure>(&path, &query, accept, shown).await?;
        Ok(Exit::Success)
    }

    fn change(
        &self,
        mut value: Value,
        resource: &Resource,
        printer: &mut Printer,
        session: &mut Session,
    ) -> Result<(), Failure> {
        let table = |value| serde_json::from_value::<Table>(value).map_err(ApiError::Malformed);
        match self.args.output {
            None | Some(Shape::Wide) => {
                printer.add(&table(value)?);
                session.output.write(&printer.flush())?;
            }
            Some(Shape::Name) => {
                let table = table(value)?;
                for row in &table.rows {
                    let name = row.cells.first().and_then(Value::as_str).unwrap_or("<unknown>");
                    session.output.line(&resource.object(name))?;
                }
            }
            Some(Shape::Json | Shape::Yaml) => {
                self.strip(&mut value);
                session.output.write(&self.rendered(&value))?;
            }
        }
        session.output.flush()
    }

    fn rendered(&self, value: &Value) -> String {
        if self.args.output == Some(Shape::Yaml) {
            yaml::document(value)
        } else {
            go_json::pretty(value) + "\n"
        }
    }

    fn strip(&self, object: &mut Value) {
        if !self.args.show_managed_fields
            && let Some(metadata) = object["metadata"].as_object_mut()
        {
            metadata.remove("managedFields");
        }
    }

    fn layout(&self, resource: &Resource, mixed: bool) -> Layout {
        Layout {
            no_headers: self.args.no_headers,
            wide: self.args.output == Some(Shape::Wide),
            namespace: self.args.all_namespaces && resource.namespaced,
            labels: self.args.show_labels,
            kind: (self.args.show_kind || mixed).then_some(*resource),
        }
    }

    fn include(&self) -> &'static str {
        if self.args.all_namespaces || self.args.show_labels { "Metadata" } else { "None" }
    }

    fn selectors(&self) -> Selectors {
        Selectors { labels: self.args.selector.clone(), fields: self.args.field_selector.clone() }
    }

    fn namespace(&self) -> Option<&str> {
        (!self.args.all_namespaces).then(|| self.client.namespace())
    }

    /// Reports what could not be read. A single missing object gets the name that was probably meant.
    async fn end(
        &self,
        errors: Vec<ApiError>,
        targets: &[Target<'_>],
        session: &mut Session,
    ) -> Result<Exit, Failure> {
        let mut exit = Exit::Success;
        let single = errors.len() == 1 && targets.len() == 1;
        for error in errors {
            let suggest = single && error.is_not_found();
            let mut failure = Failure::from(error);
            if suggest && let Some(name) = targets[0].name {
                failure.hint =
                    suggestion(self.client, &targets[0].kind.resource, self.namespace(), name).await;
            }
            exit = failure.exit;
            session.output.failure(&failure);
        }
        Ok(exit)
    }
}

/// `did you mean TYPE/NAME?`, if an object of a similar name exists and can be listed.
pub(super) async fn suggestion(
    client: &Client,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
) -> Option<String> {
    let path = with_query(resource.path(namespace, None), &[("includeObject", "None"), ("limit", "500")]);
    let table: Table = client.read(&path, TABLE).await.ok()?;
    let near = kinds::nearest(name, table.names())?;
    Some(format!("did you mean {}/{near}?", resource.kind.to_ascii_lowercase()))
}

fn items(list: &mut Value, resource: &Resource) -> Vec<Value> {
    let Value::Array(mut items) = list["items"].take() else { return vec![] };
    for item in &mut items {
        item["apiVersion"] = resource.api_version().into();
        item["kind"] = resource.kind.into();
    }
    items
}

/// Adds a kind's rows; an empty line keeps it apart from the kind before, unless there are no titles.
fn section(text: &mut String, printer: Option<(&Kind, Printer)>, no_headers: bool) {
    let Some((_, mut printer)) = printer else { return };
    let rows = printer.flush();
    if !rows.is_empty() && !text.is_empty() && !no_headers {
        text.push('\n');
    }
    text.push_str(&rows);
}
