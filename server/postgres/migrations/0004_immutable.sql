create extension if not exists pg_trgm;   -- fragments of words by index
create extension if not exists btree_gin; -- the tenant in the index of the search

-- A record: its name, its current version but for the data, and what it is found by. Whoever stores a version locks this row, and
-- finds in it all that the next version follows from.
create table immutable (
  tenant           text collate "C" not null,
  type             text collate "C" not null,
  id               text collate "C" not null,
  version          integer          not null,
  first_version    integer          not null, -- the first that is kept
  created_at       timestamptz(3)   not null, -- of the current version
  first_created_at timestamptz(3)   not null, -- of version 1
  user_id          text collate "C",
  metadata         json             not null,
  digest           bytea            not null,
  labels           jsonb            not null, -- the metadata as it is looked up: by containment
  data_text        text             not null, -- folded text, field by field, for fragments
  data_words       tsvector         not null,
  metadata_text    text,
  metadata_words   tsvector,
  primary key (tenant, type, id)
);

create index immutable_by_time on immutable (tenant, created_at, type, id);
create index immutable_by_type on immutable (tenant, type, created_at, id);
create index immutable_by_version on immutable (tenant, version, type, id);
create index immutable_by_user on immutable (tenant, user_id) where user_id is not null;
create index immutable_search on immutable using gin (
  tenant, labels jsonb_path_ops, data_words, metadata_words, data_text gin_trgm_ops, metadata_text gin_trgm_ops);
create index immutable_by_kept on immutable (type, (version - first_version)) where version > first_version;

create table immutable_version (
  tenant          text collate "C" not null,
  type            text collate "C" not null,
  id              text collate "C" not null,
  version         integer          not null,
  data            json, -- null: erased with its user
  bytes           integer          generated always as (octet_length(data::text)) stored,
  user_id         text collate "C",
  metadata        json             not null,
  created_at      timestamptz(3)   not null,
  agent_id        text,
  principal       text,
  request_id      text,
  salt            text             not null,
  previous_digest bytea            not null,
  digest          bytea            not null,
  primary key (tenant, type, id, version),
  foreign key (tenant, type, id) references immutable (tenant, type, id) on delete cascade,
  constraint immutable_version_user foreign key (tenant, user_id) references users (tenant, id)
);

create index immutable_version_by_user on immutable_version (tenant, user_id) where user_id is not null;

-- The digest of a version: SHA-256 over the digest before and its content, the UTF-8 of a JSON array of texts.
create function version_digest(previous bytea, content text[]) returns bytea language sql immutable parallel safe as $$
  select sha256(previous || convert_to(array_to_json(content)::text, 'UTF8'))
$$;

-- What fields are found by: their words in the forms of a language, a phrase not reaching from one into the next, and letters as they
-- are. Text with more words than a tsvector holds (1 MiB) is found by its letters and fragments only.
create function search_words(language regconfig, fields json, letters text[]) returns tsvector
language plpgsql immutable parallel safe as $$
begin
  return to_tsvector(language, fields) || array_to_tsvector(letters);
exception when program_limit_exceeded then
  return array_to_tsvector(letters);
end
$$;
