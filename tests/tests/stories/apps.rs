//! Connectors against stand-ins for their apps, called by a flow on a real server.

mod confirm_lead;
mod gmail;
mod google_drive;
mod hubspot;
mod notion;
mod slack;
mod airtable;
mod mailchimp;
mod openai;
mod power_bi;
mod zoho_crm;
