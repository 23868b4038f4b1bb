//! Tenantry: a Kubernetes control plane that gives every tenant its own databases and services.

pub mod api;
pub mod cli;
pub mod controller;
pub mod postgres;
pub mod resilience;
pub mod services;
pub mod telemetry;
