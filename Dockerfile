FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
COPY client/package.json client/
COPY server/package.json server/

FROM packages AS build
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build

# What the server needs at run time: no tools, and no embedded Postgres, which is an optional peer.
FROM packages AS dependencies
RUN npm ci --ignore-scripts --workspace=server --omit=dev --omit=peer --omit=optional

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/server/package.json server/
COPY --from=build /app/server/dist server/dist
USER node
EXPOSE 50051
ENV CORTEX_LISTEN=0.0.0.0:50051
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["node", "server/dist/server/main.js", "health"]
ENTRYPOINT ["node", "--max-semi-space-size=16", "server/dist/server/main.js"]
