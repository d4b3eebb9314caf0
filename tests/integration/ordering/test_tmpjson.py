import asyncio, sys
async def test_x(tx):
    async def w(uow):
        print("BARE", [repr(await uow.connection.fetchval(q)) for q in ("SELECT '[1]'::jsonb","SELECT '[1]'::json")], repr(await uow.connection.fetchrow("SELECT $1::jsonb AS a, $2::text::jsonb AS b, jsonb_typeof($1::jsonb)", '[1]', '[1]')))
    await tx.run_bare("x", w)
    await tx.run("x", w)
