-- Replies by request id: a request that is repeated gets the reply it had, and is not done again. Written in the transaction of the
-- write itself. The users whose entries a reply holds are named, so that erasing a user finds it.
create table request (
  tenant      text collate "C" not null,
  id          text collate "C" not null,
  fingerprint text             not null, -- of the request: another one under the same id is refused
  reply       json             not null,
  user_ids    text[] collate "C" not null default '{}',
  created_at  timestamptz(3)   not null default clock_timestamp(),
  primary key (tenant, id)
);

create index request_by_age on request (created_at);
create index request_by_user on request using gin (user_ids) where user_ids <> '{}';
