//! [`Store`]: customers, invoices, payments and what is kept under keys. In memory for answering, in SQLite to survive.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, params};
use serde_json::{Value, json};

/// The number before the first invoice.
const FIRST: u64 = 1000;

/// What a partner would have in its database.
#[derive(Debug, Default)]
pub struct Store {
    customers: HashMap<String, Customer>,
    invoices: Vec<Invoice>,
    payments: Vec<Payment>,
    keys: HashMap<String, Saved>,
    /// Invoices by what they are for.
    of_order: HashMap<String, u32>,
    repeated: u64,
    disorders: u64,
    db: Option<Connection>,
}

#[derive(Debug)]
struct Customer {
    name: Value,
    invoices: Vec<usize>,
}

/// An invoice. Its number is one more than that of the one before, whoever that was for.
#[derive(Debug, Clone)]
pub struct Invoice {
    pub customer: String,
    pub order: Option<String>,
    pub cents: i64,
    pub after: Option<u64>,
    pub made_ms: u64,
}

#[derive(Debug, Clone)]
pub struct Payment {
    pub reference: String,
    pub cents: i64,
}

/// The answer that is kept under an idempotency key.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Of method, path and body.
    pub payload: String,
    pub status: u16,
    pub body: Value,
    pub saved_ms: u64,
}

const TABLES: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS customers (id TEXT PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS invoices (number INTEGER PRIMARY KEY, customer TEXT NOT NULL, \"order\" TEXT, cents INTEGER NOT NULL,
        after INTEGER, made_ms INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS payments (number INTEGER PRIMARY KEY, reference TEXT NOT NULL, cents INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, payload TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
        saved_ms INTEGER NOT NULL);
";

impl Store {
    /// In memory alone.
    pub fn volatile() -> Self {
        Self::default()
    }

    /// Kept in this file.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let db = Connection::open(path)?;
        db.execute_batch(TABLES)?;
        let mut store = Self::default();
        {
            let mut rows = db.prepare("SELECT id, name FROM customers")?;
            for row in rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))? {
                let (id, name) = row?;
                let name = serde_json::from_str(&name).unwrap_or_default();
                store.customers.insert(id, Customer { name, invoices: Vec::new() });
            }
            let mut rows = db.prepare("SELECT customer, \"order\", cents, after, made_ms FROM invoices ORDER BY number")?;
            for row in rows.query_map([], |row| {
                let after: Option<i64> = row.get(3)?;
                Ok(Invoice {
                    customer: row.get(0)?,
                    order: row.get(1)?,
                    cents: row.get(2)?,
                    after: after.map(i64::cast_unsigned),
                    made_ms: row.get::<_, i64>(4)?.cast_unsigned(),
                })
            })? {
                store.remember(row?);
            }
            let mut rows = db.prepare("SELECT reference, cents FROM payments ORDER BY number")?;
            for row in rows.query_map([], |row| Ok(Payment { reference: row.get(0)?, cents: row.get(1)? }))? {
                store.payments.push(row?);
            }
            let mut rows = db.prepare("SELECT key, payload, status, body, saved_ms FROM keys")?;
            for row in rows.query_map([], |row| {
                let body: String = row.get(3)?;
                let saved = Saved {
                    payload: row.get(1)?,
                    status: row.get(2)?,
                    body: serde_json::from_str(&body).unwrap_or_default(),
                    saved_ms: row.get::<_, i64>(4)?.cast_unsigned(),
                };
                Ok((row.get::<_, String>(0)?, saved))
            })? {
                let (key, saved) = row?;
                store.keys.insert(key, saved);
            }
        }
        store.db = Some(db);
        Ok(store)
    }

    /// What is written until [`Store::commit`] belongs together: all of it is kept, or nothing.
    pub fn begin(&self) {
        self.write(|db| db.execute_batch("BEGIN"));
    }

    pub fn commit(&self) {
        self.write(|db| db.execute_batch("COMMIT"));
    }

    pub fn customer(&self, id: &str) -> Option<&Value> {
        self.customers.get(id).map(|customer| &customer.name)
    }

    /// Whether anything was changed by it.
    pub fn put_customer(&mut self, id: &str, name: &Value) -> bool {
        if self.customer(id) == Some(name) {
            return false;
        }
        match self.customers.get_mut(id) {
            Some(customer) => customer.name = name.clone(),
            None => {
                self.customers.insert(id.to_string(), Customer { name: name.clone(), invoices: Vec::new() });
            }
        }
        self.write(|db| {
            let mut put = db.prepare_cached("INSERT OR REPLACE INTO customers VALUES (?1, ?2)")?;
            put.execute(params![id, name.to_string()]).map(drop)
        });
        true
    }

    /// The number of the customer's last invoice.
    pub fn last_of(&self, customer: &str) -> Option<u64> {
        let last = self.customers.get(customer)?.invoices.last()?;
        Some(number(*last))
    }

    /// Makes an invoice and gives its number.
    pub fn add_invoice(&mut self, invoice: Invoice) -> u64 {
        let number = number(self.invoices.len());
        self.write(|db| {
            let mut add = db.prepare_cached("INSERT INTO invoices VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            let after = invoice.after.map(u64::cast_signed);
            let made = invoice.made_ms.cast_signed();
            add.execute(params![number.cast_signed(), invoice.customer, invoice.order, invoice.cents, after, made]).map(drop)
        });
        self.remember(invoice);
        number
    }

    fn remember(&mut self, invoice: Invoice) {
        let customer = self.customers.entry(invoice.customer.clone());
        let customer = customer.or_insert_with(|| Customer { name: Value::Null, invoices: Vec::new() });
        if customer.invoices.last().map(|last| number(*last)) != invoice.after {
            self.disorders += 1;
        }
        customer.invoices.push(self.invoices.len());
        if let Some(order) = &invoice.order {
            let times = self.of_order.entry(order.clone()).or_default();
            *times += 1;
            self.repeated += u64::from(*times > 1);
        }
        self.invoices.push(invoice);
    }

    /// The invoice with this id, `inv_1001`.
    pub fn invoice(&self, id: &str, opens_after_ms: u64) -> Option<Value> {
        let number: u64 = id.strip_prefix("inv_")?.parse().ok()?;
        let index = usize::try_from(number.checked_sub(FIRST + 1)?).ok()?;
        self.invoices.get(index).map(|invoice| shown(index, invoice, opens_after_ms))
    }

    /// Those of this customer, for this order, behind the one with this number: whatever of it is asked for.
    pub fn find(&self, asked: &HashMap<String, String>, opens_after_ms: u64) -> Vec<Value> {
        let fits = |invoice: &Invoice| {
            let after = |text: &String| invoice.after.map_or(String::new(), |after| after.to_string()) == *text;
            asked.get("customer").is_none_or(|customer| invoice.customer == *customer)
                && asked.get("order").is_none_or(|order| invoice.order.as_ref() == Some(order))
                && asked.get("after").is_none_or(after)
        };
        let of_customer = asked.get("customer").map(|id| self.customers.get(id).map_or(&[][..], |found| &found.invoices));
        let all = 0..if of_customer.is_some() { 0 } else { self.invoices.len() };
        let found = of_customer.unwrap_or_default().iter().copied().chain(all).filter(|index| fits(&self.invoices[*index]));
        found.take(100).map(|index| shown(index, &self.invoices[index], opens_after_ms)).collect()
    }

    /// Makes a payment and gives its number.
    pub fn add_payment(&mut self, payment: Payment) -> u64 {
        let number = self.payments.len() as u64 + 1;
        self.write(|db| {
            let mut add = db.prepare_cached("INSERT INTO payments VALUES (?1, ?2, ?3)")?;
            add.execute(params![number.cast_signed(), payment.reference, payment.cents]).map(drop)
        });
        self.payments.push(payment);
        number
    }

    pub fn payments(&self, reference: Option<&String>) -> Vec<Value> {
        let fits = |payment: &Payment| reference.is_none_or(|reference| payment.reference == *reference);
        let found = self.payments.iter().enumerate().filter(|(_, payment)| fits(payment)).take(100);
        found.map(|(index, payment)| paid(index as u64 + 1, payment)).collect()
    }

    /// What is kept under this key and was kept since then.
    pub fn saved(&self, key: &str, since_ms: u64) -> Option<&Saved> {
        self.keys.get(key).filter(|saved| saved.saved_ms >= since_ms)
    }

    pub fn save(&mut self, key: &str, saved: Saved) {
        self.write(|db| {
            let mut put = db.prepare_cached("INSERT OR REPLACE INTO keys VALUES (?1, ?2, ?3, ?4, ?5)")?;
            let at = saved.saved_ms.cast_signed();
            put.execute(params![key, saved.payload, saved.status, saved.body.to_string(), at]).map(drop)
        });
        self.keys.insert(key.to_string(), saved);
    }

    pub fn forget(&mut self) {
        let db = self.db.take();
        *self = Self { db, ..Self::default() };
        self.write(|db| db.execute_batch("DELETE FROM customers; DELETE FROM invoices; DELETE FROM payments; DELETE FROM keys"));
    }

    /// How it stands, in figures.
    pub fn figures(&self) -> Value {
        json!({
            "customers": self.customers.len(), "invoices": self.invoices.len(), "payments": self.payments.len(),
            "repeated_invoices": self.repeated, "order_breaks": self.disorders,
        })
    }

    fn write(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<()>) {
        if let Some(db) = &self.db
            && let Err(error) = work(db)
        {
            // A partner that forgets what it answered would judge wrongly.
            eprintln!("third party: its database cannot be written: {error}");
            std::process::exit(4);
        }
    }
}

fn number(index: usize) -> u64 {
    FIRST + 1 + index as u64
}

fn shown(index: usize, invoice: &Invoice, opens_after_ms: u64) -> Value {
    let number = number(index);
    let open = crate::now_ms() >= invoice.made_ms.saturating_add(opens_after_ms);
    json!({
        "id": format!("inv_{number}"), "number": number, "customer": invoice.customer, "order": invoice.order,
        "cents": invoice.cents, "after": invoice.after, "status": if open { "open" } else { "draft" },
    })
}

pub fn paid(number: u64, payment: &Payment) -> Value {
    json!({ "id": format!("pay_{number}"), "reference": payment.reference, "cents": payment.cents })
}
