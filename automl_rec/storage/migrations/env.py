"""How alembic reaches the database: over the connection `schema.upgrade` hands it."""  # noqa: INP001 - alembic runs this file by its path

from alembic import context

from automl_rec.storage.tables import VERSION_TABLE, Tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Tables.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    # A process killed half-way leaves the database as it was.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
