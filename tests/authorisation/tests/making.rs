//! How the world is made: through the API, as people would.

use crate::http::{Credential, call};
use crate::object::{Kind, Relation};
use crate::world::{World, id_of_session, job_of, log_in, must, secret_of};
use crate::{host, policy, secrets, tokens};
use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::SystemTime;

impl World {
    pub(crate) fn make() -> World {
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_secs();
        let tag: String = (0..4).map(|place| char::from(b'a' + (seconds / 26u64.pow(place) % 26) as u8)).collect();
        let root = Credential::Token(host::sh("cat /etc/wcp360/api.key"));
        let file = host::sh("cat /root/wcp360-credentials.txt");
        let line = |key: &str| {
            file.lines().find_map(|l| l.strip_prefix(key)).expect("the installer wrote it").trim().to_owned()
        };
        let mut world = World {
            tag,
            tokens: [Credential::Nothing, Credential::Nothing, Credential::Nothing, root],
            sessions: Mutex::default(),
            scoped: Vec::new(),
            strangers: Vec::new(),
            suspended: Vec::new(),
            root_name: line("username:"),
            root_password: line("password:"),
            jobs: Default::default(),
            changes: Default::default(),
            schedules: Default::default(),
            bulks: Default::default(),
            spare_tokens: Default::default(),
            spare_sessions: Default::default(),
            fresh: AtomicUsize::new(0),
            busy: Mutex::new(()),
        };
        world.people();
        world.accounts();
        world.credentials();
        let columns = "SELECT password_hash FROM users WHERE password_hash IS NOT NULL \
                       UNION SELECT secret_hash FROM tokens UNION SELECT secret_hash FROM sessions;";
        let mut secrets: Vec<String> = host::sql(columns).lines().map(str::to_owned).collect();
        secrets.extend([0, 1, 2, 3].map(|role| world.password(&world.login(role))));
        secrets::remember(secrets);
        world
    }

    fn people(&mut self) {
        for (who, role) in [("adm", "admin"), ("ad2", "admin"), ("sel", "reseller"), ("riv", "reseller")] {
            let name = self.person(who);
            let body = json!({"username": name, "role": role, "password": self.password(&name)});
            must(&self.tokens[3], "POST", "/users", &body, 201);
        }
        self.tokens[1] = self.token_of(&self.person("sel")).0;
        self.tokens[2] = self.token_of(&self.person("adm")).0;
        let rival = self.token_of(&self.person("riv")).0;
        for (owner, relation, visibility) in [
            (&self.tokens[1], Relation::Own, "private"),
            (&self.tokens[3], Relation::Sibling, "public"),
            (&rival, Relation::Foreign, "private"),
        ] {
            let name = &self.names(Kind::Package, relation, 0)[0].1;
            must(owner, "POST", "/packages", &json!({"name": name, "visibility": visibility}), 201);
        }
    }

    /// The limits of requests have tests of their own; here clients would spend most of the time waiting.
    fn let_clients_ask_quickly(&self) {
        let mut package = call(&self.tokens[3], "GET", "/packages/business", "").json();
        let mut wanted = json!({"security": {"api_requests_per_minute": 100_000}});
        for field in ["name", "description", "features", "limits", "tier", "visibility"] {
            wanted[field] = package[field].take();
        }
        must(&self.tokens[3], "PUT", "/packages/business", &wanted, 200);
    }

    fn accounts(&mut self) {
        let relations = [Relation::Own, Relation::Sibling, Relation::Foreign];
        let rival = self.token_of(&self.person("riv")).0;
        let owners = [self.tokens[1].clone(), self.tokens[1].clone(), rival];
        self.let_clients_ask_quickly();
        let create = |owner: &Credential, name: &str| {
            let body = json!({"username": name, "primary_domain": format!("{name}.test"), "package": "business",
                              "password": self.password(name)});
            job_of(&must(owner, "POST", "/accounts", &body, 202))
        };
        let jobs: Vec<String> = relations.iter().zip(&owners).map(|(r, o)| create(o, &self.account(*r))).collect();
        for (relation, owner) in relations.iter().zip(&owners) {
            create(owner, &self.halted(*relation));
        }
        self.settle();
        self.jobs = jobs.try_into().expect("three");
        for (relation, owner) in relations.iter().zip(&owners) {
            let names = self.names(Kind::Domain, *relation, 0);
            let path = format!("/accounts/{}/domains", names[0].1);
            let job = must(owner, "POST", &path, &json!({"domain": names[1].1}), 202);
            self.changes[*relation as usize] = job_of(&job);
            self.schedules[*relation as usize] = self.schedule(*relation);
            // Of nothing that is there: what there is is not to change.
            let body = json!({"action": "suspend", "accounts": ["nosuchone"]});
            self.bulks[*relation as usize] = job_of(&must(owner, "POST", "/bulk", &body, 202));
        }
        let halted = self.halted(Relation::Own);
        self.suspended = vec![
            ("the token of a suspended client".into(), self.token_of(&halted).0),
            ("the session of a suspended client".into(), log_in(&halted, &self.password(&halted))),
        ];
        for (relation, owner) in relations.iter().zip(&owners) {
            must(owner, "POST", &format!("/accounts/{}/suspend", self.halted(*relation)), &json!({}), 202);
        }
        self.settle();
    }

    fn credentials(&mut self) {
        let (client, client_id) = self.token_of(&self.account(Relation::Own));
        self.tokens[0] = client;
        let spare = |who: &Credential| must(who, "POST", "/tokens", &json!({"name": "spare"}), 201)["id"].clone();
        let sibling = self.token_of(&self.account(Relation::Sibling)).0;
        let foreign = self.token_of(&self.account(Relation::Foreign)).0;
        let [a, b, c, d] = &self.tokens;
        self.spare_tokens = [a, b, c, d, &sibling, &foreign].map(|who| spare(who).as_str().expect("an id").to_owned());
        let others = [Relation::Sibling, Relation::Foreign].map(|relation| self.account(relation));
        let people = (0..4).map(|role| self.login(role)).chain(others);
        let begun = people.map(|name| id_of_session(&log_in(&name, &self.password(&name))));
        self.spare_sessions = begun.collect::<Vec<_>>().try_into().expect("six");
        let mut scopes: Vec<Vec<&'static str>> = policy::permissions().into_iter().map(|p| vec![p]).collect();
        scopes.push(Vec::new());
        self.scoped = scopes
            .into_iter()
            .map(|scopes| {
                let made = must(&self.tokens[3], "POST", "/tokens", &json!({"name": "limited", "scopes": scopes}), 201);
                (scopes, secret_of(&made))
            })
            .collect();
        self.strangers = tokens::strangers(self, &client_id);
    }
}
