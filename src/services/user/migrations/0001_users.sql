-- Users of one tenant. Addresses are stored normalised (lower case), so a plain unique index keeps them unique.
CREATE TABLE users (
    id          uuid        PRIMARY KEY,
    email       text        NOT NULL,
    name        text        NOT NULL,
    profile     jsonb       NOT NULL DEFAULT '{}',
    preferences jsonb       NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    version     bigint      NOT NULL DEFAULT 1,
    CONSTRAINT users_email_key UNIQUE (email),
    CONSTRAINT users_email_is_normalised CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
    CONSTRAINT users_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT users_profile_is_object CHECK (jsonb_typeof(profile) = 'object'),
    CONSTRAINT users_preferences_is_object CHECK (jsonb_typeof(preferences) = 'object')
);
