create table users (
  tenant     text collate "C" not null,
  id         text collate "C" not null,
  profile    json             not null default '{}',
  created_at timestamptz(3)   not null,
  updated_at timestamptz(3)   not null,
  primary key (tenant, id)
);
