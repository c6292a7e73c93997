-- The fingerprint of a request is stored sealed: a digest with a secret of this database in it. A digest without it would tell whoever
-- reads it what was asked for, by trying values: user ids, words. Fingerprints that were stored before stay as they are until they are
-- swept with their replies.
do $$
begin
  execute format($function$
    create function seal_part(part text) returns text language sql immutable strict parallel safe as $body$
      select translate(encode(sha256(convert_to(%1$L, 'UTF8') || sha256(convert_to(%1$L || part, 'UTF8'))), 'base64'), '+/=', '-_')
    $body$ $function$, gen_random_uuid()::text || gen_random_uuid()::text);
end
$$;

-- A fingerprint of Transact has two parts: caller.content.
create function seal(fingerprint text) returns text language sql immutable strict parallel safe as $$
  select seal_part(split_part(fingerprint, '.', 1))
    || case when position('.' in fingerprint) > 0 then '.' || seal_part(split_part(fingerprint, '.', 2)) else '' end
$$;

-- The given fingerprint if the stored one is of the same request, else ''. The first part alone fits any second part.
create function matching_fingerprint(stored text, given text) returns text language sql immutable parallel safe as $$
  select case
    when stored in (given, seal(given)) then given
    when position('.' in given) = 0 and split_part(stored, '.', 1) in (given, seal(given)) then given
    else '' end
$$;

-- What is left of a user whom an older release erased.
update request set fingerprint = '' where reply is null;
