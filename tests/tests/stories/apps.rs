//! Connectors against stand-ins for their apps, called by a flow on a real server.

mod airtable;
mod confirm_lead;
mod gmail;
mod google_drive;
mod hubspot;
mod mailchimp;
mod notion;
mod openai;
mod power_bi;
mod slack;
mod zoho_crm;
