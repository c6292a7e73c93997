-- A record is found by words that the server finds in its text, by the tables of one version of Unicode, and no more by those that the
-- parser of Postgres finds, which go by the locale of the database. The dictionaries of Postgres still give the forms of the words.
-- Migration 0010 rewrites the records that are stored, in the background.
alter table immutable add column unicode text; -- the version whose tables its words were found by; null: the parser's

create or replace view tenant_view.immutable as select * from immutable where works_for(tenant) with local check option;

-- The dictionaries of a language: those of words in ASCII, of other words, and of words with digits, one line each, filled up with zeros.
-- A word is looked up in its line from left to right.

-- The forms of a word by the first dictionary that knows it. None if it is a stop word, null if no dictionary knows it. unaccent changes
-- the word for the next dictionary.
create function word_forms(dictionaries int[], line int, word text) returns text[] language plpgsql immutable parallel safe as $$
declare
  dictionary regdictionary;
  forms text[];
begin
  for i in 1 .. array_length(dictionaries, 2) loop
    exit when dictionaries[line][i] = 0;
    dictionary := dictionaries[line][i]::oid;
    forms := ts_lexize(dictionary, word);
    continue when forms is null;
    if not exists (
      select from pg_ts_dict d join pg_ts_template t on t.oid = d.dicttemplate where d.oid = dictionary and t.tmplname = 'unaccent')
    then
      return forms;
    end if;
    word := forms[1];
  end loop;
  return null;
end
$$;

create function quoted_form(form text) returns text language sql immutable parallel safe as $$
  select '''' || translate(form, '''\', '') || ''''
$$;

-- What a record is found by: the forms of its words with their positions (`:1,5`), and letters as they are. Text with more words than a
-- tsvector holds (1 MiB) is found by its letters and fragments only.
create function search_words(dictionaries int[], words text[], lines int[], positions text[], letters text[]) returns tsvector
language plpgsql immutable parallel safe as $$
declare
  -- The usual language has one dictionary in each line. A call of word_forms for each word would take ten times as long.
  single boolean := array_length(dictionaries, 2) = 1;
begin
  return (
    select coalesce(string_agg(case cardinality(forms)
        when 1 then quoted_form(forms[1]) || asked.positions
        when 0 then null
        else (select string_agg(quoted_form(form) || asked.positions, ' ') from unnest(forms) as form) end, ' '), '')::tsvector
    from unnest(words, lines, positions) as asked (word, line, positions)
    cross join lateral (
      select case when single then ts_lexize(nullif(dictionaries[line][1], 0)::oid::regdictionary, word)
        else word_forms(dictionaries, line, word) end as forms offset 0
    ) as found
  ) || array_to_tsvector(letters);
exception when program_limit_exceeded then
  return array_to_tsvector(letters);
end
$$;

-- A server of the release before would store records under words that this release does not look for.
create or replace function search_words(language regconfig, fields json, letters text[]) returns tsvector language plpgsql stable as $$
begin
  raise exception 'this server is older than its database: the schema is of migration 0009'
    using errcode = 'cannot_connect_now', hint = 'Start the release that brought the database up to date, or a later one.';
end
$$;
