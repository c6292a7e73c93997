FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && npm prune --omit=dev --omit=peer --ignore-scripts

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
USER node
EXPOSE 50051
ENV CORTEX_LISTEN=0.0.0.0:50051
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["node", "dist/server/main.js", "health"]
ENTRYPOINT ["node", "--max-semi-space-size=64", "dist/server/main.js"]
